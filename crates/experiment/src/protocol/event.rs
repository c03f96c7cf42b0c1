//! The events of a sweep: each is a line of `metrics.jsonl`, and the page draws its charts from them. `docs/metrics.md` describes every field.

use serde::{Deserialize, Serialize};

use crate::config::grid::Cell;
use crate::protocol::diagnostics::Diagnosis;
use crate::protocol::run::{RunResult, TextMeasures};

/// An event of a sweep. The list is closed: code that reads events handles them all.
///
/// Numbers that are not finite are `None`, since JSON can't represent them: see [`finite`](Event::finite).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The sweep started.
    Started {
        /// Version of loralab.
        version: String,
        /// The device.
        device: String,
        /// The number of runs.
        runs: usize,
        /// The steps of each run.
        steps: usize,
        /// The schemes, in the order of the experiment; cohorts may train them in another.
        #[serde(default)]
        schemes: Vec<String>,
    },
    /// The base alone, before any training.
    Base {
        /// Its validation loss, in nats per token.
        loss: Option<f64>,
        /// Its accuracy, the share of correct answers, 0 to 1.
        accuracy: Option<f64>,
        /// Measures of a language model that follow from the loss.
        #[serde(flatten)]
        text: TextMeasures,
    },
    /// A cohort started.
    CohortStarted {
        /// The index of the cohort, from 0.
        cohort: usize,
        /// The number of cohorts.
        cohorts: usize,
        /// Its runs.
        cells: Vec<Cell>,
    },
    /// The starts of a cohort were computed from data.
    Calibrated {
        /// The schemes.
        schemes: Vec<String>,
        /// Tokens that went through the model for one run's start, the most of all runs.
        tokens: usize,
        /// Wall time, in seconds.
        seconds: f64,
    },
    /// A run did an optimiser step.
    Step {
        /// The run's cell.
        cell: Cell,
        /// The step, from 1.
        step: usize,
        /// The training loss of the step's batch, before the update, in nats per token.
        loss: Option<f64>,
        /// The learning rate of the step, schedule included.
        learning_rate: f64,
        /// The norm of the run's gradient before clipping.
        gradient_norm: Option<f64>,
    },
    /// A run was validated.
    Evaluation {
        /// The run's cell.
        cell: Cell,
        /// The steps done before.
        step: usize,
        /// Mean validation loss, in nats per token.
        loss: Option<f64>,
        /// The accuracy, the share of correct answers, 0 to 1.
        accuracy: Option<f64>,
        /// Measures of a language model that follow from the loss.
        #[serde(flatten)]
        text: TextMeasures,
    },
    /// A diagnostics snapshot of a run was taken.
    Diagnosis {
        /// The run's cell.
        cell: Cell,
        /// The step that was diagnosed, from 1.
        step: usize,
        /// The divergence of the run's predictions from the base's: KL(base ‖ run), the mean over the probe's counted rows, in nats per token. None if
        /// the logits of all runs are too many to be read back.
        kl_from_base: Option<f64>,
        /// The diagnosis of each of its adapters.
        adapters: Vec<Diagnosis>,
    },
    /// A run became non-finite and takes no further part.
    Diverged {
        /// The run's cell.
        cell: Cell,
        /// The step, from 1.
        step: usize,
        /// The first tensor with a value that is not finite.
        tensor: String,
    },
    /// A run ended.
    RunFinished {
        /// Its result.
        result: RunResult,
    },
    /// A cohort ended.
    CohortFinished {
        /// The index of the cohort, from 0.
        cohort: usize,
        /// Wall time, in seconds.
        seconds: f64,
    },
    /// The sweep ended, or was stopped.
    Finished {
        /// True if every run was completed or diverged.
        complete: bool,
        /// Wall time, in seconds.
        seconds: f64,
        /// The runs whose adapters could not be written, by name.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unwritten: Vec<String>,
    },
}

/// An event with its time, as a line of a log has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logged {
    /// The event.
    #[serde(flatten)]
    pub event: Event,
    /// When it was logged, in seconds since 1970-01-01 UTC; none in a log of the page, which has no times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<f64>,
}

impl Event {
    /// The number, unless it is NaN or infinite.
    pub fn finite(value: f64) -> Option<f64> {
        value.is_finite().then_some(value)
    }

    /// The cell of the run that the event is about, if it is about one.
    pub fn cell(&self) -> Option<&Cell> {
        match self {
            Self::Step { cell, .. }
            | Self::Evaluation { cell, .. }
            | Self::Diagnosis { cell, .. }
            | Self::Diverged { cell, .. } => Some(cell),
            Self::RunFinished { result } => Some(&result.cell),
            Self::Started { .. }
            | Self::Base { .. }
            | Self::CohortStarted { .. }
            | Self::Calibrated { .. }
            | Self::CohortFinished { .. }
            | Self::Finished { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::run::{Diverged, Evaluation};

    #[test]
    fn every_event_is_one_line_of_json_and_back() {
        let cell = Cell { scheme: "init-a".to_owned(), learning_rate: 2e-3, seed: 1 };
        let text = TextMeasures::of(Some(3.0), Some(4.0));
        let result = RunResult {
            cell: cell.clone(),
            final_loss: None,
            accuracy: None,
            classes: None,
            correlations: None,
            diverged: Some(Diverged { step: 4, tensor: "layers.0.q_proj.lora_A".to_owned() }),
            stopped: None,
            failed: None,
            start: None,
            evaluations: vec![Evaluation { step: 2, loss: Some(0.5), accuracy: None, text }],
            seconds: 1.5,
        };
        let events = [
            Event::Started {
                version: "0.1.0".to_owned(),
                device: "cpu".to_owned(),
                runs: 28,
                steps: 200,
                schemes: vec!["init-a".to_owned()],
            },
            Event::Base { loss: Some(3.0), accuracy: Some(0.0), text },
            Event::CohortStarted { cohort: 0, cohorts: 2, cells: vec![cell.clone()] },
            Event::Calibrated { schemes: vec!["eva".to_owned()], tokens: 4096, seconds: 0.5 },
            Event::Step {
                cell: cell.clone(),
                step: 1,
                loss: Event::finite(2.5),
                learning_rate: 2e-3,
                gradient_norm: Event::finite(f64::INFINITY),
            },
            Event::Evaluation {
                cell: cell.clone(),
                step: 50,
                loss: Event::finite(f64::NAN),
                accuracy: Some(0.25),
                text: TextMeasures::default(),
            },
            Event::Diagnosis { cell: cell.clone(), step: 3, kl_from_base: Some(0.25), adapters: vec![] },
            Event::Diverged { cell, step: 4, tensor: "logits".to_owned() },
            Event::RunFinished { result },
            Event::CohortFinished { cohort: 0, seconds: 2.0 },
            Event::Finished { complete: true, seconds: 4.0, unwritten: vec!["init-a_lr2e-3_seed1".to_owned()] },
        ];
        for event in &events {
            let line = serde_json::to_string(event).expect("an event is JSON");
            assert!(!line.contains('\n'));
            assert_eq!(&serde_json::from_str::<Event>(&line).expect("what was written is read"), event);
        }
        assert_eq!(
            serde_json::to_string(&events[4]).expect("an event is JSON"),
            r#"{"event":"step","cell":{"scheme":"init-a","learning_rate":0.002,"seed":1},"step":1,"loss":2.5,"learning_rate":0.002,"gradient_norm":null}"#
        );
        assert_eq!(events.iter().filter(|event| event.cell().is_some()).count(), 5);
        assert!(serde_json::from_str::<Event>(r#"{"event":"coffee"}"#).is_err());
        // As older versions wrote it.
        let base = serde_json::from_str::<Event>(r#"{"event":"base","loss":3.0,"accuracy":null}"#).expect("an event");
        assert_eq!(base, Event::Base { loss: Some(3.0), accuracy: None, text: TextMeasures::default() });
    }
}
