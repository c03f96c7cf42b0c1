//! What one run came to.

use serde::{Deserialize, Serialize};

use crate::config::grid::Cell;

/// A validation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Optimiser steps done before it.
    pub step: usize,
    /// Mean validation loss, in nats per token; `None` when it is not finite.
    pub loss: Option<f64>,
    /// Share of right answers, 0 to 1.
    pub accuracy: Option<f64>,
}

/// Where a run went non-finite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diverged {
    /// The step, counted from 1, in which it happened.
    pub step: usize,
    /// The first tensor with a value that is not finite.
    pub tensor: String,
}

/// What a start read of the training data before the first step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartCost {
    /// Tokens that went through the model, forwards alone or there and back.
    pub tokens: usize,
    /// As many as so many optimiser steps read.
    pub steps: f64,
}

impl StartCost {
    /// Of so many tokens, where a step reads `of_step`; none where none were read.
    pub fn of(tokens: usize, of_step: usize) -> Option<Self> {
        (tokens > 0).then(|| Self { tokens, steps: tokens as f64 / of_step as f64 })
    }
}

/// One run, done: to the end, until it diverged, until it was stopped, or because it could not start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Which run.
    pub cell: Cell,
    /// Validation loss after the last step, in nats per token; `None` when the run diverged, was stopped or could not start.
    pub final_loss: Option<f64>,
    /// Share of right answers after the last step, 0 to 1.
    pub accuracy: Option<f64>,
    /// Set when the run diverged.
    pub diverged: Option<Diverged>,
    /// Why the run could not start; such a run took no step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// What its start read; none where it read nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartCost>,
    /// The validations on the way, in order.
    pub evaluations: Vec<Evaluation>,
    /// Wall time of its cohort divided by the cohort's runs, in seconds.
    pub seconds: f64,
}

impl RunResult {
    /// Whether the run went non-finite.
    pub fn is_diverged(&self) -> bool {
        self.diverged.is_some() || self.final_loss.is_some_and(|loss| !loss.is_finite())
    }

    /// Whether nothing more is to come of the run: it came to its end, diverged, or could not start.
    pub fn is_over(&self) -> bool {
        self.final_loss.is_some() || self.is_diverged() || self.failed.is_some()
    }

    /// The final loss of a run that came to its end.
    pub fn finished_loss(&self) -> Option<f64> {
        self.final_loss.filter(|_| !self.is_diverged())
    }
}
