//! How far a sweep is.

use loralab_experiment::Event;

/// How far a sweep is, by what the worker has told.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// When the first word came, on the page's clock.
    began: f64,
    runs: usize,
    steps: usize,
    /// The step that the last run to make one was at.
    step: usize,
    /// Steps done and to be done, over all runs.
    done: usize,
    total: usize,
}

impl Progress {
    /// Takes in an event that came `now`, in seconds.
    pub fn hear(&mut self, event: &Event, now: f64) {
        match event {
            Event::Started { runs, steps, .. } => {
                *self = Self { began: now, runs: *runs, steps: *steps, step: 0, done: 0, total: runs * steps };
            }
            Event::Step { step, .. } => {
                self.step = *step;
                self.done += 1;
            }
            // It takes no further steps.
            Event::Diverged { step, .. } => self.total -= self.steps.saturating_sub(*step).min(self.total),
            _ => {}
        }
    }

    /// Steps of each run.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The part done, 0 to 1.
    pub fn share(&self) -> f64 {
        if self.total == 0 { 0.0 } else { self.done as f64 / self.total as f64 }
    }

    /// What is being done, in words.
    pub fn task(&self) -> String {
        format!("Training {} adapters for {} steps each.", self.runs, self.steps)
    }

    /// How it goes, in words; nothing before the first step.
    pub fn pace(&self, now: f64) -> String {
        if self.done == 0 {
            return String::new();
        }
        let gone = now - self.began;
        let left = gone / self.done as f64 * self.total.saturating_sub(self.done) as f64;
        format!("Step {} of {} · {} gone, about {} left", self.step, self.steps, duration(gone), duration(left))
    }
}

/// Seconds in words.
pub fn duration(seconds: f64) -> String {
    if seconds < 99.5 { format!("{seconds:.0} s") } else { format!("{:.1} min", seconds / 60.0) }
}

#[cfg(test)]
mod tests {
    use loralab_experiment::Cell;

    use super::*;

    #[test]
    fn a_run_that_diverges_leaves_less_to_do() {
        let cell = || Cell { scheme: "init-a".to_owned(), learning_rate: 1e-3, seed: 0 };
        let step = |step| Event::Step { cell: cell(), step, loss: None, learning_rate: 1e-3, gradient_norm: None };
        let mut progress = Progress::default();
        assert_eq!((progress.share(), progress.pace(1.0)), (0.0, String::new()));
        let started = Event::Started { version: String::new(), device: String::new(), runs: 2, steps: 4 };
        progress.hear(&started, 10.0);
        assert_eq!(progress.task(), "Training 2 adapters for 4 steps each.");
        progress.hear(&step(1), 11.0);
        progress.hear(&step(1), 11.0);
        assert_eq!(progress.pace(12.0), "Step 1 of 4 · 2 s gone, about 6 s left");
        progress.hear(&Event::Diverged { cell: cell(), step: 1, tensor: "logits".to_owned() }, 11.0);
        assert_eq!(progress.pace(12.0), "Step 1 of 4 · 2 s gone, about 3 s left");
        (2..=4).for_each(|number| progress.hear(&step(number), 14.0));
        assert_eq!(progress.share(), 1.0);
    }

    #[test]
    fn durations_by_hand() {
        assert_eq!([0.4, 99.0, 99.6, 150.0].map(duration), ["0 s", "99 s", "1.7 min", "2.5 min"]);
    }
}
