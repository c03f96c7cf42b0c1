//! The result of one run.

use serde::{Deserialize, Serialize};

use crate::config::grid::Cell;

/// A validation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The optimiser steps done before it.
    pub step: usize,
    /// Mean validation loss, in nats per token; `None` when it is not finite.
    pub loss: Option<f64>,
    /// The accuracy, the share of correct answers, 0 to 1.
    pub accuracy: Option<f64>,
}

/// The divergence of a run: its first value that is not finite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diverged {
    /// The step, counted from 1.
    pub step: usize,
    /// The first tensor with a value that is not finite.
    pub tensor: String,
}

/// The training data that a start reads before the first step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartCost {
    /// Tokens that went through the model, in forward passes or in forward and backward passes.
    pub tokens: usize,
    /// The number of optimiser steps that read as much.
    pub steps: f64,
}

impl StartCost {
    /// The data of `tokens` tokens, for steps that read `of_step`; none if none were read.
    pub fn of(tokens: usize, of_step: usize) -> Option<Self> {
        (tokens > 0).then(|| Self { tokens, steps: tokens as f64 / of_step as f64 })
    }
}

/// Measures of a model that tells two classes apart, the second of which is the positive one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassScores {
    /// The harmonic mean of precision and recall, 0 to 1.
    pub f1: f64,
    /// Matthews' correlation coefficient, −1 to 1.
    pub mcc: f64,
}

/// The result of a run that was completed, diverged, was stopped, or could not start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// The run's cell.
    pub cell: Cell,
    /// Validation loss after the last step, in nats per token; `None` when the run diverged, was stopped or could not start.
    pub final_loss: Option<f64>,
    /// The accuracy after the last step, the share of correct answers, 0 to 1.
    pub accuracy: Option<f64>,
    /// Measures after the last step if there are two classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<ClassScores>,
    /// Set when the run diverged.
    pub diverged: Option<Diverged>,
    /// The reason that the run could not start; such a run took no step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// The data that its start read; none if it read nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartCost>,
    /// The validations during the training, in order.
    pub evaluations: Vec<Evaluation>,
    /// Wall time of its cohort divided by the cohort's runs, in seconds.
    pub seconds: f64,
}

impl RunResult {
    /// True if the run diverged.
    pub fn is_diverged(&self) -> bool {
        self.diverged.is_some() || self.final_loss.is_some_and(|loss| !loss.is_finite())
    }

    /// True if the run was completed, diverged, or could not start.
    pub fn is_over(&self) -> bool {
        self.final_loss.is_some() || self.is_diverged() || self.failed.is_some()
    }

    /// The final loss of a run that was completed.
    pub fn finished_loss(&self) -> Option<f64> {
        self.final_loss.filter(|_| !self.is_diverged())
    }
}
