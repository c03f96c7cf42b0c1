//! Telling: events handed to an observer, and its answers kept.

use std::ops::ControlFlow;

use loralab_experiment::{Cell, Diverged, Event, RunResult};

use super::{Observer, Snapshot};
use crate::{lab::train::StepOutcome, lora::peft::Adapter};

/// An observer, and whether it has asked for an end.
pub(super) struct Telling<'a> {
    observer: &'a mut dyn Observer,
    over: bool,
}

impl<'a> Telling<'a> {
    /// Nothing was told yet.
    pub fn new(observer: &'a mut dyn Observer) -> Self {
        Telling { observer, over: false }
    }

    /// Whether an answer asked for an end. What is under way is still told.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Seconds by the observer's clock.
    pub fn seconds(&self) -> f64 {
        self.observer.seconds()
    }

    /// Tells an event.
    pub fn event(&mut self, event: Event) {
        let flow = self.observer.event(event);
        self.note(flow);
    }

    /// Hands an adapter over.
    pub fn adapter(&mut self, cell: &Cell, adapter: Adapter) {
        let flow = self.observer.adapter(cell, adapter);
        self.note(flow);
    }

    /// Lets the observer hear what is asked of it; whether it wants a snapshot now.
    pub async fn listen(&mut self) -> bool {
        self.observer.listen().await;
        !self.over && self.observer.wants_snapshot()
    }

    /// Hands a snapshot over.
    pub fn snapshot(&mut self, snapshot: Snapshot) {
        self.observer.snapshot(snapshot);
    }

    /// Waits for the observer's turn; whether to go on.
    pub async fn turn(&mut self) -> bool {
        let flow = self.observer.turn().await;
        self.note(flow);
        !self.over
    }

    /// Tells of a step, of every run that took part; to the end, so that a break leaves no run a step behind.
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
