//! The result of one run.

use serde::{Deserialize, Serialize};

use crate::config::grid::Cell;
use crate::config::number::{learning_rate_text, loss_text};

/// A validation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The optimiser steps done before it.
    pub step: usize,
    /// Mean validation loss, in nats per token; `None` when it is not finite.
    pub loss: Option<f64>,
    /// The accuracy, the share of correct answers, 0 to 1.
    pub accuracy: Option<f64>,
    /// Measures of a language model that follow from the loss.
    #[serde(flatten)]
    pub text: TextMeasures,
}

/// Measures of a language model that follow from its loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TextMeasures {
    /// The exponential of the loss in nats per token; `None` if it is not finite, or the model reads no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub perplexity: Option<f64>,
    /// The loss in bits per byte of the text that is predicted, which models with other tokens can be compared by; `None` likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits_per_byte: Option<f64>,
}

impl TextMeasures {
    /// The measures of a loss in nats per token, for texts with so many bytes per token; none if either is not known.
    pub fn of(loss: Option<f64>, bytes_per_token: Option<f64>) -> Self {
        let finite = |value: f64| Some(value).filter(|value| value.is_finite());
        let Some((loss, bytes)) = loss.zip(bytes_per_token.filter(|bytes| *bytes > 0.0)) else {
            return Self::default();
        };
        Self { perplexity: finite(loss.exp()), bits_per_byte: finite(loss / std::f64::consts::LN_2 / bytes) }
    }

    /// The bytes per token of the text that had this loss; none if that cannot be told.
    pub fn bytes_per_token(self, loss: Option<f64>) -> Option<f64> {
        let (loss, bits) = loss.zip(self.bits_per_byte)?;
        Some(loss / std::f64::consts::LN_2 / bits).filter(|bytes| bytes.is_finite() && *bytes > 0.0)
    }
}

/// The divergence of a run: its first value that is not finite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diverged {
    /// The step, counted from 1.
    pub step: usize,
    /// The first tensor with a value that is not finite.
    pub tensor: String,
}

/// The early stop of a run that could no longer be the best of its scheme; [`stops`](crate::stops) has the rule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stopped {
    /// The steps that the run had done.
    pub step: usize,
    /// The reason.
    pub why: StopReason,
    /// The rate of the same scheme that was best at that step.
    pub best: f64,
    /// The validation loss of the run's rate less that of the best, in nats per token: the mean over the seeds that both have.
    pub behind: f64,
}

/// The reason of an early stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// The rate is above the best and its loss is above the base's.
    PastEdge,
    /// The rate is behind the best by more than it can make up.
    Behind,
    /// The rate was stopped with another seed.
    OtherSeed,
}

impl Stopped {
    /// The stop as the predicate of a sentence.
    pub fn in_words(&self) -> String {
        let Self { step, best, .. } = *self;
        let best = learning_rate_text(best);
        let behind = format!("{} behind {best}", loss_text(self.behind));
        let why = match self.why {
            StopReason::PastEdge => format!("its loss was above the base's and {behind}"),
            StopReason::Behind => format!("it was {behind}, more than it could make up"),
            StopReason::OtherSeed => format!("its rate had been stopped with another seed, behind {best}"),
        };
        format!("was stopped after step {step}: {why}")
    }
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

/// Correlations of the scores that a model gives texts with those that are wanted, −1 to 1. None where they are not defined (NaN), since the model gives all
/// texts the same score, or one is wanted of all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Correlations {
    /// Pearson's: of the scores.
    pub pearson: Option<f64>,
    /// Spearman's: of their ranks.
    pub spearman: Option<f64>,
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
    /// Measures after the last step if texts have scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlations: Option<Correlations>,
    /// Set when the run diverged.
    pub diverged: Option<Diverged>,
    /// Set when the run was stopped early, since it could no longer be the best of its scheme. Such a run has no final loss and did not diverge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
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

    /// True if the run was completed, diverged, was stopped early, or could not start.
    pub fn is_over(&self) -> bool {
        self.final_loss.is_some() || self.is_diverged() || self.stopped.is_some() || self.failed.is_some()
    }

    /// The loss of the last validation so far.
    pub fn last_loss(&self) -> Option<f64> {
        self.evaluations.last()?.loss
    }

    /// The validation loss after so many steps.
    pub fn loss_after(&self, step: usize) -> Option<f64> {
        self.evaluations.iter().find(|evaluation| evaluation.step == step)?.loss
    }

    /// The final loss of a run that was completed.
    pub fn finished_loss(&self) -> Option<f64> {
        self.final_loss.filter(|_| !self.is_diverged())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_follow_from_the_loss() {
        let text = TextMeasures::of(Some(2.0), Some(4.0));
        assert_eq!(text.perplexity, Some(2f64.exp()));
        // 2 nats are 2.885 bits, of four bytes.
        assert!(text.bits_per_byte.is_some_and(|bits| (bits - 0.721_347_520_444_481_7).abs() < 1e-15), "{text:?}");
        assert!(text.bytes_per_token(Some(2.0)).is_some_and(|bytes| (bytes - 4.0).abs() < 1e-15));
        assert_eq!(text.bytes_per_token(None), None);
        for none in [(None, Some(4.0)), (Some(2.0), None), (Some(2.0), Some(0.0))] {
            assert_eq!(TextMeasures::of(none.0, none.1), TextMeasures::default());
        }
        assert_eq!(TextMeasures::of(Some(1e4), Some(1.0)).perplexity, None);
        assert_eq!(TextMeasures::of(Some(0.0), Some(1.0)).bytes_per_token(Some(0.0)), None);
    }

    #[test]
    fn an_evaluation_of_an_older_log_is_read() {
        let read: Evaluation = serde_json::from_str(r#"{"step":2,"loss":0.5,"accuracy":null}"#).expect("an evaluation");
        assert_eq!(read, Evaluation { step: 2, loss: Some(0.5), accuracy: None, text: TextMeasures::default() });
        let written = serde_json::to_string(&read).expect("it is JSON");
        assert_eq!(written, r#"{"step":2,"loss":0.5,"accuracy":null}"#);
    }
}
