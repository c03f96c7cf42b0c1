//! Who watches a sweep in a terminal: the log, the adapters, the progress, and what asks it to end.

use std::{ops::ControlFlow, time::Instant};

use anyhow::{Error, Result};
use loralab_core::{lab::Observer, lora::peft::Adapter};
use loralab_experiment::{Cell, Event, RunResult};

use crate::{
    interrupt::Interrupt,
    progress::Progress,
    results::{METRICS, Results},
    terminal::Stream,
};

/// Writes down what happens.
pub struct Watch<'a> {
    results: &'a mut Results,
    progress: Progress,
    stream: Option<&'a mut Stream>,
    interrupt: Interrupt,
    started: Instant,
    failure: Option<Error>,
    finished: Vec<RunResult>,
}

impl<'a> Watch<'a> {
    /// Begins to watch; `started` is when the clock was, `stream` takes every event as JSON.
    pub fn new(
        results: &'a mut Results,
        progress: Progress,
        stream: Option<&'a mut Stream>,
        interrupt: Interrupt,
        started: Instant,
    ) -> Self {
        Self { results, progress, stream, interrupt, started, failure: None, finished: vec![] }
    }

    /// Ends the watch: which runs were done, and the first thing that could not be written.
    pub fn end(self) -> (Vec<RunResult>, Option<Error>) {
        (self.finished, self.failure)
    }

    fn write(&mut self, event: &Event, line: &str) -> Result<()> {
        let of_a_step = matches!(event, Event::Step { .. } | Event::Evaluation { .. } | Event::Diagnosis { .. });
        // What runs came to is logged later, where it can't be now.
        if of_a_step && self.failure.is_some() {
            return Ok(());
        }
        self.results.log(line, !of_a_step)?;
        match event {
            Event::RunFinished { result } if result.is_over() && result.failed.is_none() => {
                self.results.replace_earlier()?;
            }
            // The runs of a cohort end together; bringing each to the disk by itself would take longer than some trainings.
            Event::CohortFinished { .. } => self.results.sync()?,
            _ => {}
        }
        Ok(())
    }

    /// Whether to go on.
    fn flow(&self) -> ControlFlow<()> {
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
        match serde_json::to_string(&event) {
            Ok(line) => {
                if let Err(error) = self.write(&event, &line) {
                    self.failure.get_or_insert(error);
                }
                if let Some(stream) = &mut self.stream {
                    let log = self.results.folder().join(METRICS);
                    stream.line(&line, format_args!("`{}` has every event", log.display()));
                }
            }
            Err(error) => {
                self.failure.get_or_insert_with(|| error.into());
            }
        }
        self.progress.event(&event);
        self.flow()
    }

    fn adapter(&mut self, cell: &Cell, adapter: Adapter) -> ControlFlow<()> {
        self.results.adapter(cell, &adapter);
        self.flow()
    }
}
