//! A record of a sweep, built from its events: those of a worker in training, or those of a finished log.

use std::collections::HashMap;

use crate::analysis::summary::{Setting, Summary};
use crate::config::grid::Cell;
use crate::config::names::Accuracy;
use crate::protocol::curve::{AdapterSnapshot, Curve, Point};
use crate::protocol::event::Event;
use crate::protocol::run::{Diverged, Evaluation, RunResult};

/// The most diagnostics snapshots of a run that are stored, some kilobytes each. Beyond that, every second one is dropped, repeatedly, so that they stay evenly spaced;
/// the last is always stored, and the log has them all.
const MOST_SNAPSHOTS: usize = 100;

/// The state of a sweep.
#[derive(Clone, Debug)]
pub struct Record {
    /// The steps of each run.
    pub steps: usize,
    /// The number of runs.
    pub runs: usize,
    /// None during the sweep; then true if every run was completed.
    pub complete: Option<bool>,
    /// The steps done before the last evaluation.
    pub evaluated: usize,
    setting: Setting,
    results: Vec<RunResult>,
    curves: Vec<Curve>,
    /// The number of diagnostics snapshots seen of each run, and the interval at which they are stored.
    thinned: Vec<(usize, usize)>,
    places: HashMap<(String, u64, u64), usize>,
}

impl Record {
    /// An empty record; `accuracy` is the accuracy measure of this sweep.
    pub fn new(accuracy: Accuracy) -> Self {
        let (device, wall_seconds, base_loss, base_accuracy) = (String::new(), 0.0, None, None);
        Self {
            steps: 0,
            runs: 0,
            complete: None,
            evaluated: 0,
            setting: Setting {
                device,
                wall_seconds,
                base_loss,
                base_accuracy,
                accuracy,
                validation_examples: None,
                bytes_per_token: None,
                order: vec![],
            },
            results: vec![],
            curves: vec![],
            thinned: vec![],
            places: HashMap::new(),
        }
    }

    /// Sets the number of validation examples.
    pub fn validated_on(&mut self, examples: Option<usize>) {
        self.setting.validation_examples = examples;
    }

    /// Adds an event.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Started { device, runs, steps, schemes, .. } => {
                (self.runs, self.steps) = (*runs, *steps);
                self.setting.device.clone_from(device);
                self.setting.order.clone_from(schemes);
            }
            Event::Base { loss, accuracy, text } => {
                (self.setting.base_loss, self.setting.base_accuracy) = (*loss, *accuracy);
                self.setting.bytes_per_token = text.bytes_per_token(*loss);
            }
            Event::CohortStarted { .. } | Event::Calibrated { .. } | Event::CohortFinished { .. } => {}
            Event::Step { cell, step, loss, .. } => {
                if let Some(loss) = *loss {
                    let place = self.place(cell);
                    self.curves[place].training.push(Point { step: *step, loss });
                }
            }
            Event::Evaluation { cell, step, loss, accuracy, text } => {
                let place = self.place(cell);
                let result = &mut self.results[place];
                result.evaluations.push(Evaluation { step: *step, loss: *loss, accuracy: *accuracy, text: *text });
                (result.final_loss, result.accuracy) = (*loss, *accuracy);
                if let Some(loss) = *loss {
                    self.curves[place].validation.push(Point { step: *step, loss });
                }
                self.evaluated = *step;
            }
            Event::Diagnosis { cell, step, kl_from_base, adapters } => {
                let place = self.place(cell);
                let (step, kl_from_base, adapters) = (*step, *kl_from_base, adapters.clone());
                self.snapshot(place, AdapterSnapshot { step, kl_from_base, adapters });
            }
            Event::Diverged { cell, step, tensor } => {
                let place = self.place(cell);
                self.results[place].diverged = Some(Diverged { step: *step, tensor: tensor.clone() });
                self.curves[place].diverged = Some(*step);
            }
            Event::RunFinished { result } => {
                let place = self.place(&result.cell);
                let last = self.results[place].final_loss;
                self.results[place] = result.clone();
                // A run that was interrupted has no final loss, but it may have been evaluated before.
                if result.final_loss.is_none() && !result.is_diverged() && result.stopped.is_none() {
                    self.results[place].final_loss = last;
                }
            }
            Event::Finished { complete, seconds, .. } => {
                self.complete = Some(*complete);
                self.setting.wall_seconds = *seconds;
            }
        }
    }

    fn snapshot(&mut self, place: usize, snapshot: AdapterSnapshot) {
        let (snapshots, (seen, every)) = (&mut self.curves[place].snapshots, &mut self.thinned[place]);
        // The previous snapshot was stored only because it was the last.
        if *seen > 0 && !(*seen - 1).is_multiple_of(*every) {
            snapshots.pop();
        }
        snapshots.push(snapshot);
        *seen += 1;
        if snapshots.len() > MOST_SNAPSHOTS {
            *every *= 2;
            let (mut at, last) = (0_usize, snapshots.len());
            snapshots.retain(|_| {
                at += 1;
                !at.is_multiple_of(2) || at == last
            });
        }
    }

    /// The summary so far, with every run at its last evaluation; final once every run has ended.
    pub fn summary(&self) -> Summary {
        Summary::from_runs(self.setting.clone(), &self.results)
    }

    /// The number of steps that the summary refers to, as the beginning of a sentence.
    pub fn when(&self) -> String {
        match self.complete {
            Some(true) => "After the last step".to_owned(),
            _ => format!("After {} of {} steps", self.evaluated, self.steps),
        }
    }

    /// The runs, in order of first appearance.
    pub fn results(&self) -> &[RunResult] {
        &self.results
    }

    /// The training history of each run, in the same order.
    pub fn curves(&self) -> &[Curve] {
        &self.curves
    }

    /// True if any run has been evaluated, has diverged, or could not start.
    pub fn has_news(&self) -> bool {
        self.results.iter().any(RunResult::is_over)
    }

    fn place(&mut self, cell: &Cell) -> usize {
        let key = (cell.scheme.clone(), cell.learning_rate.to_bits(), cell.seed);
        let (results, curves, thinned) = (&mut self.results, &mut self.curves, &mut self.thinned);
        *self.places.entry(key).or_insert_with(|| {
            let cell = cell.clone();
            thinned.push((0, 1));
            curves.push(Curve {
                cell: cell.clone(),
                training: vec![],
                validation: vec![],
                diverged: None,
                snapshots: vec![],
            });
            results.push(RunResult {
                cell,
                final_loss: None,
                accuracy: None,
                classes: None,
                correlations: None,
                diverged: None,
                stopped: None,
                failed: None,
                start: None,
                evaluations: vec![],
                seconds: 0.0,
            });
            results.len() - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::run::TextMeasures;

    fn cell(seed: u64) -> Cell {
        Cell { scheme: "init-a".to_owned(), learning_rate: 1e-3, seed }
    }

    #[test]
    fn looks_are_thinned_evenly_and_the_last_stays() {
        let mut record = Record::new(Accuracy::Token);
        let steps =
            |record: &Record| record.curves()[0].snapshots.iter().map(|snapshot| snapshot.step).collect::<Vec<_>>();
        for step in 0..5000 {
            record.apply(&Event::Diagnosis { cell: cell(0), step, kl_from_base: None, adapters: vec![] });
            let held = steps(&record);
            assert!(held.len() <= MOST_SNAPSHOTS + 1 && held.last() == Some(&step), "{held:?}");
            assert!(step >= MOST_SNAPSHOTS || held.len() == step + 1, "{held:?}");
            let [first, second, ..] = held[..] else { continue };
            let even = held.windows(2).rev().skip(1).all(|pair| pair[1] - pair[0] == second - first);
            assert!(even && first == 0, "{held:?}");
        }
        assert!(steps(&record).len() > MOST_SNAPSHOTS / 2);
    }

    #[test]
    fn a_record_stands_where_its_events_left_it() {
        let mut record = Record::new(Accuracy::Token);
        assert!(!record.has_news() && record.summary().schemes.is_empty());
        let text = |loss| TextMeasures::of(Some(loss), Some(4.0));
        let evaluated = |step, loss| Event::Evaluation {
            cell: cell(0),
            step,
            loss: Some(loss),
            accuracy: Some(0.5),
            text: text(loss),
        };
        let step = Event::Step { cell: cell(0), step: 1, loss: Some(2.5), learning_rate: 1e-3, gradient_norm: None };
        let started =
            Event::Started { version: String::new(), device: "cpu".to_owned(), runs: 2, steps: 4, schemes: vec![] };
        let before =
            [started, Event::Base { loss: Some(3.0), accuracy: Some(0.0), text: text(3.0) }, step, evaluated(2, 1.5)];
        before.iter().for_each(|event| record.apply(event));
        record.apply(&Event::Diverged { cell: cell(1), step: 2, tensor: "logits".to_owned() });
        assert_eq!(record.when(), "After 2 of 4 steps");
        let summary = record.summary();
        assert_eq!(summary.setting.base_loss, Some(3.0));
        assert_eq!(summary.base_perplexity, Some(3f64.exp()));
        assert!(summary.setting.bytes_per_token.is_some_and(|bytes| (bytes - 4.0).abs() < 1e-12));
        assert_eq!(summary.schemes[0].learning_rates[0].losses, [Some(1.5), None]);
        assert_eq!(record.curves()[0].training, [Point { step: 1, loss: 2.5 }]);
        assert_eq!(record.curves()[1].diverged, Some(2));

        // A stopped run keeps the results of its evaluations.
        let stopped = RunResult { final_loss: None, accuracy: None, ..record.results()[0].clone() };
        record.apply(&Event::RunFinished { result: stopped });
        record.apply(&Event::Finished { complete: false, seconds: 2.0, unwritten: vec![] });
        assert_eq!(record.summary().schemes[0].learning_rates[0].losses, [Some(1.5), None]);
        assert_eq!((record.when().as_str(), record.complete), ("After 2 of 4 steps", Some(false)));

        record.apply(&evaluated(4, 1.0));
        record.apply(&Event::Finished { complete: true, seconds: 4.0, unwritten: vec![] });
        assert_eq!((record.when().as_str(), record.summary().setting.wall_seconds), ("After the last step", 4.0));
        assert_eq!(record.summary().schemes[0].learning_rates[0].losses, [Some(1.0), None]);
    }
}
