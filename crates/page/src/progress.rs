//! The progress of a sweep.

use loralab_experiment::{Bytes, Event};

/// Seconds of steps from which a pace is told.
const MEASURED: f64 = 1.0;

/// The progress of a sweep, from the worker's events.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// When the first word came, on the page's clock.
    began: f64,
    /// When the first steps of this visit came and the last, pauses aside, and how many were done then: what came before was preparation. The first have no
    /// pace, as nobody knows when they began.
    seen: Option<[(f64, usize); 2]>,
    /// Since when there has been a pause.
    paused: Option<f64>,
    /// Seconds of earlier pauses.
    waited: f64,
    runs: usize,
    steps: usize,
    /// The step that the last run to make one was at.
    step: usize,
    /// Steps done before this visit, over all runs.
    before: usize,
    /// Steps done and to be done, over all runs.
    done: usize,
    total: usize,
}

impl Progress {
    /// Takes in an event of a message that came `now`, in seconds: all events of a message have one time.
    pub fn apply(&mut self, event: &Event, now: f64) {
        match event {
            Event::Started { runs, steps, .. } => {
                *self = Self {
                    began: now,
                    runs: *runs,
                    steps: *steps,
                    total: runs.saturating_mul(*steps),
                    ..Self::default()
                };
            }
            Event::Step { step, .. } => {
                self.step = *step;
                self.done += 1;
                let last = (now - self.waited, self.done);
                self.seen = match self.seen {
                    Some([first, _]) if first.0 < last.0 => Some([first, last]),
                    _ => Some([last, last]),
                };
            }
            // It takes no further steps.
            Event::Diverged { step, .. } => self.total -= self.steps.saturating_sub(*step).min(self.total),
            _ => {}
        }
    }

    /// Marks the events so far as those of an earlier visit, and restarts the clock.
    pub fn go_on(&mut self, now: f64) {
        *self = Self { began: now, before: self.done, seen: None, paused: None, waited: 0.0, ..self.clone() };
    }

    /// The training waits from now on.
    pub fn pause(&mut self, now: f64) {
        self.paused.get_or_insert(now);
    }

    /// It goes on.
    pub fn resume(&mut self, now: f64) {
        if let Some(since) = self.paused.take() {
            self.waited += now - since;
        }
    }

    /// Steps of each run.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Seconds since the first word.
    pub fn gone(&self, now: f64) -> f64 {
        if self.total == 0 { 0.0 } else { now - self.began }
    }

    /// The part done, 0 to 1.
    pub fn share(&self) -> f64 {
        if self.total == 0 { 0.0 } else { self.done as f64 / self.total as f64 }
    }

    /// The current activity, in words.
    pub fn task(&self) -> String {
        format!("Training {} adapters for {} steps each.", self.runs, self.steps)
    }

    /// The progress in words; empty before the first step, and without a pace before a second of work. `tokens` are those of one run's step.
    pub fn pace(&self, now: f64, tokens: usize) -> String {
        let done = self.done - self.before;
        if done == 0 {
            return String::new();
        }
        let gone = self.paused.unwrap_or(now) - self.began - self.waited;
        let so_far = format!("Step {} of {} · {} gone", self.step, self.steps, duration(gone));
        let Some([(first, before), (last, done)]) = self.seen else { return so_far };
        let seconds = last - first;
        if seconds < MEASURED || done == before {
            return so_far;
        }
        let rate = (done - before) as f64 / seconds;
        let left = self.total.saturating_sub(self.done) as f64 / rate;
        format!(
            "{so_far}, about {} left · {} steps of a run and {} tokens a second",
            duration(left),
            rounded(rate),
            rounded(rate * tokens as f64)
        )
    }
}

/// The progress of compiling the GPU's kernels, in words.
pub fn building(done: usize, of: usize) -> String {
    format!("Compiling kernels for the GPU: {done} of {of} …")
}

/// A sweep's memory on the device, in words.
pub fn memory(cohorts: usize, runs: usize, shared: u64, per_run: u64) -> String {
    let all = shared.saturating_add(per_run.saturating_mul(runs as u64));
    let number = if runs == 1 { "1 run".to_owned() } else { format!("{runs} runs") };
    let pass = match cohorts {
        1 => format!("{number} in one pass {}", if runs == 1 { "takes" } else { "take" }),
        _ => format!("The largest of {cohorts} passes, of {number}, takes"),
    };
    format!("{pass} {} of its memory: {} once and {} for each run.", Bytes(all), Bytes(shared), Bytes(per_run))
}

/// A number with two digits or as a whole one, in thousands where it is large.
fn rounded(number: f64) -> String {
    match number {
        ..9.95 => format!("{number:.1}"),
        ..9_999.5 => format!("{number:.0}"),
        _ => format!("{:.0} thousand", number / 1000.0),
    }
}

/// A duration in seconds as text, such as `2 min 5 s`.
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
        assert_eq!((progress.share(), progress.pace(1.0, 64)), (0.0, String::new()));
        let started =
            Event::Started { version: String::new(), device: String::new(), runs: 2, steps: 4, schemes: vec![] };
        progress.apply(&started, 10.0);
        assert_eq!(progress.task(), "Training 2 adapters for 4 steps each.");
        for (number, now) in [(1, 11.0), (1, 11.0), (2, 13.0), (2, 13.0)] {
            progress.apply(&step(number), now);
        }
        assert_eq!(
            progress.pace(13.0, 64),
            "Step 2 of 4 · 3 s gone, about 4 s left · 1.0 steps of a run and 64 tokens a second"
        );
        progress.apply(&Event::Diverged { cell: cell(), step: 2, tensor: "logits".to_owned() }, 13.0);
        assert_eq!(
            progress.pace(13.0, 64),
            "Step 2 of 4 · 3 s gone, about 2 s left · 1.0 steps of a run and 64 tokens a second"
        );
        // Gone on with at another visit, the pace is that of this one.
        progress.go_on(100.0);
        assert_eq!(progress.pace(101.0, 64), "");
        progress.apply(&step(3), 104.0);
        assert_eq!(progress.pace(104.0, 64), "Step 3 of 4 · 4 s gone");
        progress.apply(&step(4), 106.0);
        assert_eq!(progress.share(), 1.0);
        assert!(progress.pace(106.0, 64).ends_with("about 0 s left · 0.5 steps of a run and 32 tokens a second"));
    }

    #[test]
    fn the_first_steps_have_no_pace() {
        let started =
            Event::Started { version: String::new(), device: String::new(), runs: 2, steps: 100, schemes: vec![] };
        let cell = || Cell { scheme: "init-a".to_owned(), learning_rate: 1e-3, seed: 0 };
        let step = |step| Event::Step { cell: cell(), step, loss: None, learning_rate: 1e-3, gradient_norm: None };
        let mut progress = Progress::default();
        progress.apply(&started, 0.0);
        // Twenty steps after ten seconds of preparation, in one message, and six more a moment later.
        let apply = |progress: &mut Progress, steps: std::ops::RangeInclusive<usize>, now| {
            steps.for_each(|number| (0..2).for_each(|_| progress.apply(&step(number), now)));
        };
        apply(&mut progress, 1..=10, 10.0);
        assert_eq!(progress.pace(10.0, 64), "Step 10 of 100 · 10 s gone");
        apply(&mut progress, 11..=13, 10.25);
        assert_eq!(progress.pace(10.25, 64), "Step 13 of 100 · 10 s gone");
        // Four a second, as they came since.
        apply(&mut progress, 14..=20, 15.0);
        assert_eq!(
            progress.pace(15.0, 64),
            "Step 20 of 100 · 15 s gone, about 40 s left · 4.0 steps of a run and 256 tokens a second"
        );
    }

    #[test]
    fn preparing_and_waiting_are_no_pace() {
        let started =
            Event::Started { version: String::new(), device: String::new(), runs: 1, steps: 11, schemes: vec![] };
        let cell = || Cell { scheme: "init-a".to_owned(), learning_rate: 1e-3, seed: 0 };
        let step = |step| Event::Step { cell: cell(), step, loss: None, learning_rate: 1e-3, gradient_norm: None };
        let mut progress = Progress::default();
        progress.apply(&started, 0.0);
        progress.apply(&step(1), 60.0);
        progress.apply(&step(2), 62.0);
        let pace = "Step 2 of 11 · 62 s gone, about 18 s left · 0.5 steps of a run and 32 tokens a second";
        assert_eq!(progress.pace(62.0, 64), pace);
        progress.pause(62.0);
        assert_eq!(progress.pace(90.0, 64), pace);
        progress.resume(100.0);
        assert_eq!(progress.pace(100.0, 64), pace);
        progress.apply(&step(3), 102.0);
        assert!(progress.pace(102.0, 64).starts_with("Step 3 of 11 · 64 s gone, about 16 s left · 0.5 steps"));
    }

    #[test]
    fn memory_by_hand() {
        assert_eq!(
            memory(1, 14, 2 << 20, 3 << 20),
            "14 runs in one pass take 44 MiB of its memory: 2 MiB once and 3 MiB for each run."
        );
        assert!(memory(2, 3, 1 << 20, u64::MAX).starts_with("The largest of 2 passes, of 3 runs, takes "));
        assert_eq!(building(3, 40), "Compiling kernels for the GPU: 3 of 40 …");
    }

    #[test]
    fn numbers_by_hand() {
        assert_eq!([0.25, 64.4, 9_999.0, 31_904.0].map(rounded), ["0.2", "64", "9999", "32 thousand"]);
    }

    #[test]
    fn durations_by_hand() {
        assert_eq!([0.4, 99.0, 99.6, 150.0].map(duration), ["0 s", "99 s", "1.7 min", "2.5 min"]);
    }
}
