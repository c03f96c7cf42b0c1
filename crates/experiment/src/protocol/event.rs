//! What a running sweep reports, as it happens: a line of `metrics.jsonl` each, and the page's charts.

use serde::{Deserialize, Serialize};

use crate::config::grid::Cell;
use crate::protocol::diagnostics::Diagnosis;
use crate::protocol::run::RunResult;

/// Something that happened in a sweep. The list is closed: whoever reads events handles them all.
///
/// Numbers that are not finite are `None`, since JSON has no word for them: [`finite`](Event::finite) makes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The sweep began.
    Started {
        /// Version of loralab.
        version: String,
        /// The device.
        device: String,
        /// Number of runs.
        runs: usize,
        /// Steps of each run.
        steps: usize,
        /// The schemes, in the order that was asked for; cohorts may train them in another.
        #[serde(default)]
        schemes: Vec<String>,
    },
    /// The base alone, before any training.
    Base {
        /// Its validation loss, in nats per token.
        loss: Option<f64>,
        /// Its share of right answers, 0 to 1.
        accuracy: Option<f64>,
    },
    /// A cohort began.
    CohortStarted {
        /// Which one, from 0.
        cohort: usize,
        /// How many there are.
        cohorts: usize,
        /// Its runs.
        cells: Vec<Cell>,
    },
    /// The starts of a cohort were made from data.
    Calibrated {
        /// Of which schemes.
        schemes: Vec<String>,
        /// Tokens that went through the model for a run's.
        tokens: usize,
        /// Wall time, in seconds.
        seconds: f64,
    },
    /// A run made an optimiser step.
    Step {
        /// Which run.
        cell: Cell,
        /// Which step, from 1.
        step: usize,
        /// Training loss of the step's batch, before the update, in nats per token.
        loss: Option<f64>,
        /// Learning rate of the step, schedule included.
        learning_rate: f64,
        /// Norm of the run's gradient before clipping.
        gradient_norm: Option<f64>,
    },
    /// A run was validated.
    Evaluation {
        /// Which run.
        cell: Cell,
        /// Steps done before.
        step: usize,
        /// Mean validation loss, in nats per token.
        loss: Option<f64>,
        /// Share of right answers, 0 to 1.
        accuracy: Option<f64>,
    },
    /// A run was looked into.
    Diagnosis {
        /// Which run.
        cell: Cell,
        /// The step that was looked at, from 1.
        step: usize,
        /// How far what the model says is from what the base says: KL(base ‖ run), the mean over the probe's rows that count, in nats a token. None where
        /// the logits of all runs are too many to be looked at.
        kl_from_base: Option<f64>,
        /// Each of its adapters.
        adapters: Vec<Diagnosis>,
    },
    /// A run went non-finite and takes no further part.
    Diverged {
        /// Which run.
        cell: Cell,
        /// In which step, from 1.
        step: usize,
        /// The first tensor with a value that is not finite.
        tensor: String,
    },
    /// A run is done.
    RunFinished {
        /// What it came to.
        result: RunResult,
    },
    /// A cohort is done.
    CohortFinished {
        /// Which one, from 0.
        cohort: usize,
        /// Wall time, in seconds.
        seconds: f64,
    },
    /// The sweep is done, or was stopped.
    Finished {
        /// Whether every run came to its end or diverged.
        complete: bool,
        /// Wall time, in seconds.
        seconds: f64,
        /// The runs whose adapters could not be written, by name.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unwritten: Vec<String>,
    },
}

impl Event {
    /// The number, unless it is NaN or infinite.
    pub fn finite(value: f64) -> Option<f64> {
        value.is_finite().then_some(value)
    }

    /// The run it speaks of, where it speaks of one.
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
        let result = RunResult {
            cell: cell.clone(),
            final_loss: None,
            accuracy: None,
            diverged: Some(Diverged { step: 4, tensor: "layers.0.q_proj.lora_A".to_owned() }),
            failed: None,
            start: None,
            evaluations: vec![Evaluation { step: 2, loss: Some(0.5), accuracy: None }],
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
            Event::Base { loss: Some(3.0), accuracy: Some(0.0) },
            Event::CohortStarted { cohort: 0, cohorts: 2, cells: vec![cell.clone()] },
            Event::Calibrated { schemes: vec!["eva".to_owned()], tokens: 4096, seconds: 0.5 },
            Event::Step {
                cell: cell.clone(),
                step: 1,
                loss: Event::finite(2.5),
                learning_rate: 2e-3,
                gradient_norm: Event::finite(f64::INFINITY),
            },
            Event::Evaluation { cell: cell.clone(), step: 50, loss: Event::finite(f64::NAN), accuracy: Some(0.25) },
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
    }
}
