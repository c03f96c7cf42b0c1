//! Progress on stderr: a bar for each cohort where that is a terminal, else a line for each tenth of it.

use std::{
    io::{IsTerminal, stderr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use loralab_experiment::{Event, loss_text};

use crate::terminal::note;

/// The template of a bar: name, bar, steps, remaining time, and losses.
const BAR: &str = "{prefix} [{bar:16}] {pos}/{len}, {eta} left  {wide_msg}";

/// The progress of some work with steps.
pub struct Steps {
    name: String,
    total: usize,
    started: Instant,
    bar: Option<ProgressBar>,
    lines: bool,
    /// Number of tenths printed as lines.
    last: usize,
}

impl Steps {
    /// Shows `total` steps under `name`; shows nothing when quiet.
    pub fn new(name: String, total: usize, quiet: bool) -> Self {
        let terminal = stderr().is_terminal();
        let bar = (terminal && !quiet).then(|| {
            let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total as u64).with_style(style.progress_chars("=> ")).with_prefix(name.clone())
        });
        Self { name, total, started: Instant::now(), bar, lines: !terminal && !quiet, last: 0 }
    }

    /// Shows that `done` steps are done, with the text of `losses`.
    pub fn advance(&mut self, done: usize, losses: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
            bar.set_message(losses());
            return;
        }
        let tenth = done.saturating_mul(10) / self.total.max(1);
        if self.lines && tenth > self.last {
            self.last = tenth;
            let left = self.started.elapsed().as_secs_f64() / done as f64 * self.total.saturating_sub(done) as f64;
            let left = HumanDuration(Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX));
            note(format_args!("{}: {done} of {} steps, {left} left, {}", self.name, self.total, losses()));
        }
    }

    /// Ends the display.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}

/// Shows the kernels that a GPU's driver has compiled as a bar, on a terminal only; it disappears when `done` is `total`.
pub fn kernels(done: usize, total: usize) {
    static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);
    if !stderr().is_terminal() {
        return;
    }
    let mut bar = BAR.lock().unwrap_or_else(PoisonError::into_inner);
    if done == total {
        if let Some(bar) = bar.take() {
            bar.finish_and_clear();
        }
        return;
    }
    let begin = || {
        let style = ProgressStyle::with_template("compiling kernels [{bar:16}] {pos}/{len}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new(total as u64).with_style(style.progress_chars("=> "))
    };
    bar.get_or_insert_with(begin).set_position(done as u64);
}

/// The progress of a sweep.
pub struct Progress {
    quiet: bool,
    steps: usize,
    cohort: Option<Cohort>,
}

/// The cohort in training.
struct Cohort {
    shown: Steps,
    step: usize,
    /// The lowest training loss of each scheme's runs in this step.
    lowest: Vec<(String, Option<f64>)>,
    diverged: usize,
    stopped: usize,
}

impl Progress {
    /// For runs of `steps` steps each.
    pub fn new(steps: usize, quiet: bool) -> Self {
        Self { quiet, steps, cohort: None }
    }

    /// Updates the display by an event.
    pub fn event(&mut self, event: &Event) {
        match (event, &mut self.cohort) {
            (Event::CohortStarted { cohort, cohorts, cells }, current) => {
                let runs = if cells.len() == 1 { "1 run".to_owned() } else { format!("{} runs", cells.len()) };
                let name = if *cohorts == 1 { runs } else { format!("cohort {} of {cohorts}, {runs}", cohort + 1) };
                let mut lowest: Vec<(String, Option<f64>)> = Vec::new();
                for cell in cells {
                    if lowest.iter().all(|(scheme, _)| *scheme != cell.scheme) {
                        lowest.push((cell.scheme.clone(), None));
                    }
                }
                *current = Some(Cohort {
                    shown: Steps::new(name, self.steps, self.quiet),
                    step: 0,
                    lowest,
                    diverged: 0,
                    stopped: 0,
                });
            }
            (Event::Step { cell, step, loss, .. }, Some(cohort)) => {
                // The first event of a step means that the step before is done.
                if *step > cohort.step {
                    cohort.advance();
                    cohort.step = *step;
                    cohort.lowest.iter_mut().for_each(|(_, lowest)| *lowest = None);
                }
                if let Some((_, lowest)) = cohort.lowest.iter_mut().find(|(scheme, _)| *scheme == cell.scheme) {
                    *lowest = [*lowest, *loss].into_iter().flatten().min_by(f64::total_cmp);
                }
            }
            (Event::Diverged { .. }, Some(cohort)) => cohort.diverged += 1,
            (Event::RunFinished { result }, Some(cohort)) => cohort.stopped += usize::from(result.stopped.is_some()),
            (Event::CohortFinished { .. }, Some(cohort)) => {
                cohort.advance();
                cohort.shown.end();
                self.cohort = None;
            }
            _ => {}
        }
    }
}

impl Cohort {
    fn advance(&mut self) {
        let (lowest, diverged, stopped) = (&self.lowest, self.diverged, self.stopped);
        self.shown.advance(self.step, || in_words(lowest, diverged, stopped));
    }
}

/// `lowest training loss init-a 0.084, init-b 0.106; 2 diverged`
fn in_words(lowest: &[(String, Option<f64>)], diverged: usize, stopped: usize) -> String {
    let losses = lowest.iter().filter_map(|(scheme, loss)| Some(format!("{scheme} {}", loss_text((*loss)?))));
    let losses = losses.collect::<Vec<_>>().join(", ");
    let ended = [(diverged, "diverged"), (stopped, "stopped early")];
    let ended = ended.into_iter().filter(|(count, _)| *count > 0).map(|(count, fate)| format!("; {count} {fate}"));
    format!("lowest training loss {losses}{}", ended.collect::<String>())
}
