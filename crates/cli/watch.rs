//! Who watches a sweep in a terminal: the log, the adapters, the progress, and Ctrl-C.

use std::{ops::ControlFlow, time::Instant};

use anyhow::{Error, Result};
use loralab_core::{adapter::Adapter, lab::Observer};
use loralab_experiment::{Cell, Event, RunResult};

use crate::{interrupt::Interrupt, progress::Progress, results::Results, terminal::print};

/// Writes down what happens.
pub struct Watch<'a> {
    results: &'a mut Results,
    progress: Progress,
    json: bool,
    interrupt: Interrupt,
    started: Instant,
    failure: Option<Error>,
    finished: Vec<RunResult>,
}

impl<'a> Watch<'a> {
    /// Begins to watch; `started` is when the clock was.
    pub fn new(
        results: &'a mut Results,
        progress: Progress,
        json: bool,
        interrupt: Interrupt,
        started: Instant,
    ) -> Self {
        Self { results, progress, json, interrupt, started, failure: None, finished: vec![] }
    }

    /// Ends the watch; these runs were done.
    ///
    /// # Errors
    /// The first thing that could not be written.
    pub fn end(self) -> Result<Vec<RunResult>> {
        self.failure.map_or(Ok(self.finished), Err)
    }

    fn tell(&mut self, event: &Event) -> Result<()> {
        let line = serde_json::to_string(event)?;
        self.results.log(&line)?;
        if self.json {
            print(&line)?;
        }
        self.progress.event(event);
        Ok(())
    }

    /// Does something unless writing failed before, and says whether to go on.
    fn attempt(&mut self, what: impl FnOnce(&mut Self) -> Result<()>) -> ControlFlow<()> {
        if self.failure.is_none() {
            self.failure = what(self).err();
        }
        if self.failure.is_some() || self.interrupt.is_pressed() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

impl Observer for Watch<'_> {
    fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    fn event(&mut self, event: Event) -> ControlFlow<()> {
        if let Event::RunFinished { result } = &event {
            self.finished.push(result.clone());
        }
        self.attempt(|watch| watch.tell(&event))
    }

    fn adapter(&mut self, cell: &Cell, adapter: Adapter) -> ControlFlow<()> {
        self.attempt(|watch| watch.results.adapter(cell, &adapter))
    }
}
