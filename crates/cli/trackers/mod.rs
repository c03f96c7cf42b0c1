//! `--log`: a sweep in the formats of the tools that people have, TensorBoard's event files and Optuna's journal.
//!
//! Both follow from the log alone, event by event, so they are never continued: a sweep that goes on writes them anew from the log's beginning, in
//! which nothing stands twice.

mod files;
pub mod optuna;
pub mod tensorboard;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;
use loralab_experiment::{Logged, Resolved};

use crate::{
    args::Tracker,
    log::replay,
    results::{METRICS, Results},
    terminal::note,
};
use files::Files;
use optuna::Optuna;

/// Time between two writes: those who watch see the sweep that much later.
const PAUSE: Duration = Duration::from_secs(5);

/// Bytes that are written at once when a log is read again.
const MOST: usize = 1 << 20;

/// The formats that a sweep is written in beside its log.
#[derive(Debug)]
pub struct Trackers {
    tensorboard: bool,
    optuna: Option<Optuna>,
    files: Files,
    written: Instant,
}

impl Trackers {
    /// The chosen ones, for the sweep of this experiment; `searches` if its learning rates are searched for.
    pub fn new(chosen: &[Tracker], experiment: &Resolved, searches: bool, results: &Results) -> Self {
        let optuna = chosen.contains(&Tracker::Optuna).then(|| Optuna::new(experiment, searches, results.folder()));
        let tensorboard = chosen.contains(&Tracker::Tensorboard);
        Self { tensorboard, optuna, files: Files::default(), written: Instant::now() }
    }

    /// Writes what the log of a sweep that goes on has so far.
    pub fn catch_up(&mut self, place: &Path) {
        if self.has_some() {
            let mut caught = Ok(());
            let read = replay(&place.join(METRICS), |logged| {
                self.translate(logged);
                if caught.is_ok() && self.files.pending() > MOST {
                    caught = self.files.write(place);
                }
            });
            let written = read.and(caught).and_then(|()| self.files.write(place));
            self.give_up_if(written);
        }
    }

    /// Takes an event, and writes what is pending from time to time. `place` is where the results are now.
    pub fn tell(&mut self, logged: &Logged, place: &Path) {
        self.translate(logged);
        if self.written.elapsed() >= PAUSE {
            self.flush(place);
        }
    }

    /// Writes what is pending.
    pub fn flush(&mut self, place: &Path) {
        let written = self.files.write(place);
        self.written = Instant::now();
        self.give_up_if(written);
    }

    fn has_some(&self) -> bool {
        self.tensorboard || self.optuna.is_some()
    }

    fn translate(&mut self, logged: &Logged) {
        if self.tensorboard {
            tensorboard::translate(logged, &mut self.files);
        }
        if let Some(optuna) = &mut self.optuna {
            optuna.translate(logged, &mut self.files);
        }
    }

    /// The sweep does not depend on them: after a failure it goes on without.
    fn give_up_if(&mut self, written: Result<()>) {
        if let Err(error) = written {
            note(format_args!("The work goes on without `--log`: {error:#}. `--resume` writes it again."));
            (self.tensorboard, self.optuna, self.files) = (false, None, Files::default());
        }
    }
}
