//! Where a sweep stands, as far as its log says: the last of each run, however many steps it has done.

use std::collections::HashMap;

use loralab_experiment::{Cell, Event, Logged, RunResult};

/// Parts that a run's steps are summed up in for its curve.
const PARTS: usize = 64;

/// The state of a sweep.
#[derive(Debug, Default)]
pub struct Standing {
    pub version: String,
    pub device: String,
    /// The number of runs, as far as they are planned.
    pub planned: usize,
    /// The steps of each run.
    pub steps: usize,
    /// The schemes in the order of the experiment, then others in that of their first run.
    pub schemes: Vec<String>,
    /// The loss of the base alone.
    pub base: Option<f64>,
    /// The cohort in training, from 0, and the number of cohorts.
    pub cohort: Option<(usize, usize)>,
    pub runs: Vec<Run>,
    places: HashMap<String, usize>,
    /// Set at the end: true if every run was completed.
    pub finished: Option<bool>,
    /// The time of the last event, in seconds since 1970.
    pub last: Option<f64>,
    /// Seconds of work, without the time between a stop and the start that goes on.
    pub seconds: f64,
    /// Of each scheme, by its place: the sum and the number of the training losses in each part of the steps.
    curves: Vec<[(f64, u32); PARTS]>,
}

/// A run, as it was last heard of.
#[derive(Debug)]
pub struct Run {
    pub cell: Cell,
    pub fate: Fate,
    /// The last step.
    pub step: usize,
    /// The training loss of that step.
    pub training: Option<f64>,
    /// The loss of the last validation.
    pub validation: Option<f64>,
}

/// The state of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Training,
    Completed,
    Diverged,
    Stopped,
    /// It could not start.
    Failed,
}

impl Standing {
    /// Takes the next event of the log.
    pub fn take(&mut self, Logged { event, time }: Logged) {
        if let (Some(time), Some(last), false) = (time, self.last, matches!(event, Event::Started { .. })) {
            self.seconds += (time - last).max(0.0);
        }
        self.last = time.or(self.last);
        match event {
            Event::Started { version, device, runs, steps, schemes } => {
                for scheme in schemes {
                    self.place_of(&scheme);
                }
                (self.version, self.device, self.planned, self.steps) = (version, device, runs, steps);
                self.finished = None;
            }
            Event::Base { loss, .. } => self.base = loss,
            Event::CohortStarted { cohort, cohorts, cells } => {
                self.cohort = Some((cohort, cohorts));
                for cell in cells {
                    self.place_of(&cell.scheme);
                    self.run(&cell);
                }
            }
            Event::Step { cell, step, loss, .. } => {
                let run = self.run(&cell);
                (run.step, run.training) = (step, loss);
                self.add_to_curve(&cell.scheme, step, loss);
            }
            Event::Evaluation { cell, loss, .. } => self.run(&cell).validation = loss,
            Event::Diverged { cell, .. } => self.run(&cell).fate = Fate::Diverged,
            Event::RunFinished { result } => self.end(&result),
            Event::CohortFinished { .. } => self.cohort = None,
            Event::Finished { complete, seconds, .. } => (self.finished, self.seconds) = (Some(complete), seconds),
            Event::Calibrated { .. } | Event::Diagnosis { .. } => {}
        }
        // A search plans more as it goes.
        self.planned = self.planned.max(self.runs.len());
    }

    /// The place of a scheme, which is added if it is new.
    fn place_of(&mut self, scheme: &str) -> usize {
        self.schemes.iter().position(|known| known == scheme).unwrap_or_else(|| {
            self.schemes.push(scheme.to_owned());
            self.schemes.len() - 1
        })
    }

    fn run(&mut self, cell: &Cell) -> &mut Run {
        let place = *self.places.entry(cell.id()).or_insert_with(|| {
            let cell = cell.clone();
            self.runs.push(Run { cell, fate: Fate::Training, step: 0, training: None, validation: None });
            self.runs.len() - 1
        });
        &mut self.runs[place]
    }

    fn end(&mut self, result: &RunResult) {
        let run = self.run(&result.cell);
        run.fate = match result {
            result if !result.is_over() => return,
            result if result.is_diverged() => Fate::Diverged,
            result if result.failed.is_some() => Fate::Failed,
            result if result.stopped.is_some() => Fate::Stopped,
            _ => Fate::Completed,
        };
        run.validation = result.finished_loss().or(run.validation);
    }

    fn add_to_curve(&mut self, scheme: &str, step: usize, loss: Option<f64>) {
        let place = self.place_of(scheme);
        self.curves.resize(self.schemes.len().max(self.curves.len()), [(0.0, 0); PARTS]);
        let part = step.saturating_sub(1).saturating_mul(PARTS) / self.steps.max(1);
        if let (Some(loss), Some((sum, count))) = (loss, self.curves[place].get_mut(part)) {
            (*sum, *count) = (*sum + loss, *count + 1);
        }
    }

    /// The mean training loss of a scheme's runs in parts of their steps, each with the step in its middle.
    pub fn curve(&self, scheme: &str) -> impl Iterator<Item = (f64, f64)> {
        let place = self.schemes.iter().position(|known| known == scheme);
        let parts = place.and_then(|place| self.curves.get(place)).into_iter().flatten().enumerate();
        parts.filter(|(_, (_, count))| *count > 0).map(|(part, (sum, count))| {
            ((part as f64 + 0.5) / PARTS as f64 * self.steps as f64, sum / f64::from(*count))
        })
    }

    /// True if there was an event.
    pub fn has_begun(&self) -> bool {
        !self.version.is_empty()
    }

    /// The number of runs that have ended.
    pub fn ended(&self) -> usize {
        self.runs.iter().filter(|run| run.fate != Fate::Training).count()
    }

    /// Seconds until the planned runs have ended, if they go on as until now; none if that cannot be told.
    pub fn left(&self) -> Option<f64> {
        let all = self.planned as f64 * self.steps as f64;
        let of_run = |run: &Run| if run.fate == Fate::Training { run.step } else { self.steps };
        let done = self.runs.iter().map(|run| of_run(run) as f64).sum::<f64>();
        (self.finished.is_none() && done > 0.0 && self.seconds > 0.0).then(|| self.seconds * (all - done) / done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_between_a_stop_and_a_start_is_no_work() {
        let cell = |scheme: &str| Cell { scheme: scheme.to_owned(), learning_rate: 1e-3, seed: 0 };
        let started = |schemes: &[&str]| Event::Started {
            version: "1".to_owned(),
            device: "CPU".to_owned(),
            runs: 2,
            steps: 10,
            schemes: schemes.iter().map(|scheme| (*scheme).to_owned()).collect(),
        };
        let step = |step, loss| Event::Step {
            cell: cell("b"),
            step,
            loss: Some(loss),
            learning_rate: 1e-3,
            gradient_norm: None,
        };
        let mut standing = Standing::default();
        assert!(!standing.has_begun() && standing.left().is_none());
        for (time, event) in [
            (100.0, started(&["b"])),
            (101.0, Event::CohortStarted { cohort: 0, cohorts: 1, cells: vec![cell("b"), cell("a")] }),
            (103.0, step(4, 2.0)),
            (900.0, started(&["a", "b"])),
            (902.0, step(5, 1.0)),
        ] {
            standing.take(Logged { event, time: Some(time) });
        }
        assert_eq!((standing.seconds, standing.last, standing.ended()), (5.0, Some(902.0), 0));
        // A quarter of all steps took five seconds.
        assert_eq!(standing.left(), Some(15.0));
        assert_eq!(standing.schemes, ["b", "a"]);
        let curve: Vec<(f64, f64)> = standing.curve("b").collect();
        assert_eq!(curve.iter().map(|(_, loss)| *loss).collect::<Vec<_>>(), [2.0, 1.0]);
        assert!(curve[0].0 > 3.0 && curve[1].0 < 5.0 && standing.curve("a").next().is_none(), "{curve:?}");
        standing
            .take(Logged { event: Event::Diverged { cell: cell("a"), step: 3, tensor: String::new() }, time: None });
        assert_eq!((standing.ended(), standing.left()), (1, Some(5.0 * 5.0 / 15.0)));
    }
}
