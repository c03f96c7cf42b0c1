//! The observer of a sweep in a terminal: writes the log and the adapters, shows progress, and passes on requests to stop.

use std::{ops::ControlFlow, time::Instant};

use anyhow::{Error, Result};
use loralab_core::{lab::Observer, lora::peft::Adapter};
use loralab_experiment::{Cell, Event, RunResult};

use crate::{
    interrupt::Interrupt,
    progress::Progress,
    results::{METRICS, Results, best},
    terminal::Stream,
};

/// Records the events of a sweep.
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
    /// A new observer; `started` is the start of its clock, `stream` receives every event as JSON.
    pub fn new(
        results: &'a mut Results,
        progress: Progress,
        stream: Option<&'a mut Stream>,
        interrupt: Interrupt,
        started: Instant,
    ) -> Self {
        Self { results, progress, stream, interrupt, started, failure: None, finished: vec![] }
    }

    /// Returns the results of the ended runs, and the first error of a write.
    pub fn end(self) -> (Vec<RunResult>, Option<Error>) {
        (self.finished, self.failure)
    }

    fn write(&mut self, event: &Event, line: &str) -> Result<()> {
        let of_a_step = matches!(event, Event::Step { .. } | Event::Evaluation { .. } | Event::Diagnosis { .. });
        // After a failure, events of steps are dropped; results of runs are stored and logged later.
        if of_a_step && self.failure.is_some() {
            return Ok(());
        }
        self.results.log(line, !of_a_step)?;
        match event {
            Event::RunFinished { result } if result.is_over() && result.failed.is_none() => {
                self.results.replace_earlier()?;
            }
            // The runs of a cohort end together; a sync for each would take longer than some trainings.
            Event::CohortFinished { .. } => self.results.sync()?,
            _ => {}
        }
        Ok(())
    }

    /// A break if a write failed or a stop was requested.
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
        self.results.adapter(cell.id(), &adapter);
        self.flow()
    }

    fn best_adapter(&mut self, cell: &Cell, adapter: Adapter) -> ControlFlow<()> {
        self.results.adapter(best(cell), &adapter);
        self.flow()
    }
}
