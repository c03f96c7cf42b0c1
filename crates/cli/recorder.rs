//! The observer of a sweep in training: writes the log and the adapters, shows progress, and passes on requests to stop.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use anyhow::{Error, Result};
use loralab_core::{
    lab::{Observer, Snapshot, Turn},
    lora::peft::Adapter,
};
use loralab_experiment::{Cell, Event, Logged, RunResult};

use crate::{
    interrupt::Interrupt,
    log::timed,
    progress::Progress,
    results::{METRICS, Results, best},
    terminal::{Stream, note},
    trackers::Trackers,
};

/// Least time between two writes of what lasts: a sweep may have thousands of cohorts that take less.
const SELDOM: Duration = Duration::from_secs(1);

/// Writes what is known of the runs that have ended.
pub type Interim<'a> = &'a dyn Fn(&mut Results, &[RunResult]) -> Result<()>;

/// The clock of a training and of its saves.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// When this process began.
    pub started: Instant,
    /// Seconds of work before that.
    pub earlier: f64,
    /// Time between two saves of the state; zero for none but those at a stop and between cohorts.
    pub save_every: Duration,
}

impl Clock {
    /// Seconds of work so far.
    pub fn seconds(&self) -> f64 {
        self.earlier + self.started.elapsed().as_secs_f64()
    }
}

/// Records the events of a sweep.
pub struct Recorder<'a> {
    results: &'a mut Results,
    trackers: &'a mut Trackers,
    progress: Progress,
    stream: Option<&'a mut Stream>,
    interrupt: Interrupt,
    clock: Clock,
    interim: Interim<'a>,
    /// The last save of the state, and the last of the interim results.
    saved: [Instant; 2],
    /// Least time between two writes of the interim results.
    pause: Duration,
    /// True if the state is saved for the stop that is requested.
    saved_at_stop: bool,
    /// True if a state could not be saved, which was said.
    unsaved: bool,
    failure: Option<Error>,
    finished: Vec<RunResult>,
}

impl<'a> Recorder<'a> {
    /// A new recorder; `stream` receives every event as JSON, and `interim` writes what is known after a cohort.
    pub fn new(
        results: &'a mut Results,
        trackers: &'a mut Trackers,
        progress: Progress,
        stream: Option<&'a mut Stream>,
        interrupt: Interrupt,
        clock: Clock,
        interim: Interim<'a>,
    ) -> Self {
        let (saved, saved_at_stop, unsaved) = ([Instant::now(); 2], false, false);
        let (failure, finished) = (None, vec![]);
        Self {
            results,
            trackers,
            progress,
            stream,
            interrupt,
            clock,
            interim,
            saved,
            pause: SELDOM,
            saved_at_stop,
            unsaved,
            failure,
            finished,
        }
    }

    /// Shows the progress of a cohort that is continued.
    pub fn shows(&mut self, cells: &[Cell]) {
        self.progress.event(&Event::CohortStarted { cohort: 0, cohorts: 1, cells: cells.to_vec() });
    }

    /// Returns the results of the ended runs, and the first error of a write.
    pub fn end(self) -> (Vec<RunResult>, Option<Error>) {
        (self.finished, self.failure)
    }

    fn write(&mut self, logged: &Logged, line: &str) -> Result<()> {
        let event = &logged.event;
        let of_a_step = matches!(event, Event::Step { .. } | Event::Evaluation { .. } | Event::Diagnosis { .. });
        // After a failure, events of steps are dropped; results of runs are stored and logged later.
        if of_a_step && self.failure.is_some() {
            return Ok(());
        }
        self.results.log(line, !of_a_step)?;
        self.trackers.tell(logged, self.results.place());
        match event {
            Event::RunFinished { result } if result.is_over() && result.failed.is_none() => {
                self.results.replace_earlier()?;
            }
            Event::CohortFinished { .. } => self.cohort_ended()?,
            _ => {}
        }
        Ok(())
    }

    /// Makes what has ended last: the log, the state, the summary and the figures. A stopped cohort has saved its own state.
    fn cohort_ended(&mut self) -> Result<()> {
        self.trackers.flush(self.results.place());
        if self.failure.is_none() && !self.saved_at_stop && self.saved[0].elapsed() >= SELDOM {
            self.save(vec![]);
        }
        if self.saved[1].elapsed() >= self.pause && !self.results.keeps_earlier() {
            let began = Instant::now();
            (self.interim)(self.results, &self.finished)?;
            // The log is read for the figures, so this takes longer as it grows: at most a twentieth of the time.
            (self.saved[1], self.pause) = (Instant::now(), SELDOM.max(20 * began.elapsed()));
        }
        // The runs of a cohort end together; a sync for each would take longer than some trainings.
        self.results.sync()
    }

    /// Saves the state. The training continues if it cannot be written.
    fn save(&mut self, bytes: Vec<u8>) {
        if let Err(error) = self.results.save(self.clock.seconds(), bytes)
            && !std::mem::replace(&mut self.unsaved, true)
        {
            note(format_args!("The work goes on, but its state is not saved: {error:#}."));
        }
        self.saved[0] = Instant::now();
    }

    /// A break if a write failed.
    fn flow(&self) -> ControlFlow<()> {
        if self.failure.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Ends the sweep between two cohorts; the state is saved, even before the first one, so that the sweep can go on.
    fn stop_between(&mut self) -> ControlFlow<()> {
        if self.failure.is_none() && !self.saved_at_stop {
            self.save(vec![]);
        }
        ControlFlow::Break(())
    }
}

impl Observer for Recorder<'_> {
    fn seconds(&self) -> f64 {
        self.clock.seconds()
    }

    fn event(&mut self, event: Event) -> ControlFlow<()> {
        let logged = timed(event);
        // A request that comes later waits, so that nothing stops without its state.
        let stops = self.interrupt.is_pressed();
        if let Event::RunFinished { result } = &logged.event {
            self.finished.push(result.clone());
        }
        match serde_json::to_string(&logged) {
            Ok(line) => {
                if let Err(error) = self.write(&logged, &line) {
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
        let event = logged.event;
        self.progress.event(&event);
        // A request to stop waits until the step is told to its end, so that the state holds all of it.
        let between = matches!(event, Event::Started { .. } | Event::Base { .. } | Event::CohortFinished { .. });
        if between && stops { self.stop_between() } else { self.flow() }
    }

    fn turn(&mut self) -> Turn<'_> {
        // A request that came after the last snapshot waits for the next, so that no cohort stops without its state.
        let stops = self.saved_at_stop;
        Box::pin(std::future::ready(if stops { ControlFlow::Break(()) } else { self.flow() }))
    }

    fn wants_snapshot(&self) -> bool {
        let due = !self.clock.save_every.is_zero() && self.saved[0].elapsed() >= self.clock.save_every;
        due || self.interrupt.is_pressed()
    }

    fn snapshot(&mut self, snapshot: Snapshot) {
        self.saved_at_stop = self.interrupt.is_pressed();
        // The log has the results of earlier cohorts.
        self.save(Snapshot { results: vec![], ..snapshot }.to_bytes());
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
