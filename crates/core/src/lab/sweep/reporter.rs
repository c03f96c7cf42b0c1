//! Reporter: passes events to an observer and stores its answers.

use std::ops::ControlFlow;

use loralab_experiment::{Cell, Diverged, Event, RunResult};

use super::{Observer, Snapshot};
use crate::{lab::train::StepOutcome, lora::peft::Adapter};

/// An observer, and a flag that it has asked to stop.
pub(super) struct Reporter<'a> {
    observer: &'a mut dyn Observer,
    over: bool,
}

impl<'a> Reporter<'a> {
    /// A reporter that has reported nothing yet.
    pub fn new(observer: &'a mut dyn Observer) -> Self {
        Reporter { observer, over: false }
    }

    /// True if an answer asked to stop. The cohort in training is still reported.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Seconds by the observer's clock.
    pub fn seconds(&self) -> f64 {
        self.observer.seconds()
    }

    /// Reports an event.
    pub fn event(&mut self, event: Event) {
        let flow = self.observer.event(event);
        self.note(flow);
    }

    /// Passes an adapter to the observer.
    pub fn adapter(&mut self, cell: &Cell, adapter: Adapter) {
        let flow = self.observer.adapter(cell, adapter);
        self.note(flow);
    }

    /// Passes the adapter with a run's lowest validation loss to the observer.
    pub fn best_adapter(&mut self, cell: &Cell, adapter: Adapter) {
        let flow = self.observer.best_adapter(cell, adapter);
        self.note(flow);
    }

    /// Lets the observer handle its messages; true if it wants a snapshot now.
    pub async fn listen(&mut self) -> bool {
        self.observer.listen().await;
        !self.over && self.observer.wants_snapshot()
    }

    /// Passes a snapshot to the observer.
    pub fn snapshot(&mut self, snapshot: Snapshot) {
        self.observer.snapshot(snapshot);
    }

    /// Awaits the observer's turn; true if the sweep is to continue.
    pub async fn turn(&mut self) -> bool {
        let flow = self.observer.turn().await;
        self.note(flow);
        !self.over
    }

    /// Reports a step of every run that took part. A break does not end the loop, so that no run is reported a step behind.
    pub fn step(&mut self, step: usize, outcomes: Vec<Option<StepOutcome>>, results: &mut [RunResult]) {
        for (result, outcome) in results.iter_mut().zip(outcomes) {
            let Some(outcome) = outcome else { continue };
            let cell = result.cell.clone();
            self.event(Event::Step {
                cell: cell.clone(),
                step,
                loss: Event::finite(outcome.report.loss),
                learning_rate: outcome.learning_rate,
                gradient_norm: Event::finite(outcome.report.gradient_norm),
            });
            if let Some(tensor) = outcome.report.diverged {
                result.diverged = Some(Diverged { step, tensor: tensor.clone() });
                self.event(Event::Diverged { cell, step, tensor });
            }
        }
    }

    fn note(&mut self, flow: ControlFlow<()>) {
        self.over |= flow.is_break();
    }
}
