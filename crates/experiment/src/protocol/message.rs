//! The messages between the page and its worker: [`Request`] one way, [`Message`] the other, each as JSON text. Both lists are closed: code that
//! reads them handles every message. A sweep's snapshot, which is large, is sent as bytes beside the text.

use serde::{Deserialize, Serialize};

use crate::config::grid::Cell;
use crate::config::table::Experiment;
use crate::protocol::blob::Blob;
use crate::protocol::event::Event;
use crate::protocol::start::SchemeStart;

/// A trained adapter, as the two files of PEFT's layout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdapterFiles {
    /// The cell of its run.
    pub cell: Cell,
    /// `adapter_config.json`
    pub config: String,
    /// `adapter_model.safetensors`
    pub tensors: Blob,
}

/// A request of the page to the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Train an experiment; answered by [`Message::Events`] up to [`Event::Finished`].
    Train {
        /// The experiment.
        experiment: Experiment,
        /// The contents of the file that the experiment's `data` names.
        data: Option<String>,
        /// The snapshot to continue from, as in [`Message::Snapshot`]; none for a new training. It is not part of the JSON.
        #[serde(skip)]
        from: Option<Blob>,
    },
    /// Compute the start of a run of each scheme without training; answered by a [`Message::Start`] for each, until a training
    /// is requested.
    Inspect {
        /// The experiment.
        experiment: Experiment,
        /// The contents of the file that the experiment's `data` names.
        data: Option<String>,
    },
    /// Wait before the next step; answered by [`Message::Paused`].
    Pause,
    /// Do one step and wait again.
    Step,
    /// Continue after a pause.
    Resume,
    /// End the training before the next step.
    Stop,
    /// Continue a text; answered by [`Message::Text`].
    Write {
        /// The base, by name.
        base: String,
        /// The adapter on it; none for the base alone.
        adapter: Option<AdapterFiles>,
        /// The text to continue.
        prompt: String,
        /// The most bytes to write; a newline ends the text earlier.
        count: usize,
    },
    /// Load a base and use it under its name from now on; answered by [`Message::Base`].
    Base {
        /// Its file's name, as in an experiment's `base`.
        name: String,
        /// The file, safetensors.
        file: Blob,
    },
    /// Simulate the loss of the GPU, as after a driver reset; for tests.
    Lose,
    /// Check every kernel of a training step on this GPU against its error bound; answered by [`Message::Checked`].
    Check,
}

/// A message of the worker to the page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum Message {
    /// The worker is loaded and ready for requests.
    Ready {
        /// The device that it trains on.
        device: String,
        /// True if the device is a GPU.
        gpu: bool,
    },
    /// A base was loaded.
    Base {
        /// The base's name.
        name: String,
        /// The number of its weights.
        weights: usize,
    },
    /// Kernels are being compiled for the GPU, which can take seconds each; sent before each and after the last.
    Building {
        /// The number compiled so far.
        done: usize,
        /// The number to compile.
        of: usize,
    },
    /// The sweep's memory on the device.
    Memory {
        /// The number of cohorts, which are trained one after another.
        cohorts: usize,
        /// The number of runs of the largest cohort.
        runs: usize,
        /// Bytes that a cohort shares.
        shared: u64,
        /// Bytes for each of its runs.
        per_run: u64,
    },
    /// The start of a run of a scheme.
    Start {
        /// The start.
        start: SchemeStart,
        /// The number of schemes that remain.
        left: usize,
    },
    /// The events of the sweep since the last such message, in order.
    Events {
        /// The events.
        events: Vec<Event>,
    },
    /// A run ended without diverging.
    Adapter {
        /// The adapter's files.
        files: AdapterFiles,
    },
    /// A snapshot of the sweep after all events sent so far, to continue from.
    Snapshot {
        /// The steps done by the runs in training.
        step: usize,
        /// The snapshot, which the page need not decode. It is not part of the JSON.
        #[serde(skip)]
        file: Blob,
    },
    /// The GPU is lost, and the training with it.
    Lost {
        /// The reason, as a sentence.
        reason: String,
    },
    /// The training is paused.
    Paused {
        /// The steps done by the runs in training.
        step: usize,
    },
    /// A text was continued.
    Text {
        /// The cell of the adapter; none for the base alone.
        cell: Option<Cell>,
        /// The text after the prompt.
        text: String,
    },
    /// The kernels were checked.
    Checked {
        /// True if each was within its bound.
        passed: bool,
        /// The results, for a bug report.
        report: String,
    },
    /// A request can't be carried out.
    Refused {
        /// The reason, as a sentence.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::run::TextMeasures;
    use crate::protocol::start::LayerStart;

    fn files() -> AdapterFiles {
        let cell = Cell { scheme: "init-a".to_owned(), learning_rate: 2e-3, seed: 1 };
        AdapterFiles { cell, config: "{\"r\": 8}\n".to_owned(), tensors: Blob(vec![0, 255, 7]) }
    }

    #[test]
    fn everything_asked_is_json_and_back() {
        let experiment = Experiment { rank: Some(4), ..Experiment::default() };
        let write = |adapter| Request::Write { base: "nano".to_owned(), adapter, prompt: "a\n\"".to_owned(), count: 9 };
        let requests = [
            Request::Train { experiment: experiment.clone(), data: None, from: None },
            Request::Train { experiment: experiment.clone(), data: Some("Text ü".to_owned()), from: None },
            Request::Inspect { experiment: Experiment::default(), data: Some("Text".to_owned()) },
            Request::Lose,
            Request::Pause,
            Request::Step,
            Request::Resume,
            Request::Stop,
            write(None),
            write(Some(files())),
            Request::Base { name: "my.safetensors".to_owned(), file: Blob(vec![1, 2]) },
            Request::Check,
        ];
        for request in requests {
            let text = serde_json::to_string(&request).expect("a request is JSON");
            assert_eq!(serde_json::from_str::<Request>(&text).expect("what was written is read"), request);
        }
        // The snapshot is sent beside the text.
        let request = |from| Request::Train { experiment: experiment.clone(), data: None, from };
        let text = |from| serde_json::to_string(&request(from)).expect("a request is JSON");
        assert_eq!(text(Some(Blob(vec![7; 1000]))), text(None));
        assert!(serde_json::from_str::<Request>(r#"{"request":"coffee"}"#).is_err());
    }

    #[test]
    fn every_message_is_json_and_back() {
        let text = |cell| Message::Text { cell, text: "…".to_owned() };
        let layer = LayerStart {
            module: "model.layers.0.mlp.up_proj".to_owned(),
            rank: 2,
            a: 1.0,
            b: 0.0,
            product: 0.0,
            energy: 0.25,
            moved: 0.0,
            spectrum: vec![1.5, 1e-9],
        };
        let start =
            SchemeStart { scheme: "eva".to_owned(), scale: 2.0, layers: vec![layer], tokens: 512, seconds: 0.5 };
        let messages = [
            Message::Ready { device: "CPU".to_owned(), gpu: false },
            Message::Base { name: "my.safetensors".to_owned(), weights: 9 },
            Message::Building { done: 1, of: 9 },
            Message::Memory { cohorts: 1, runs: 14, shared: 1 << 40, per_run: 3 },
            Message::Start { start, left: 1 },
            Message::Events {
                events: vec![Event::Base { loss: Some(3.0), accuracy: None, text: TextMeasures::default() }],
            },
            Message::Adapter { files: files() },
            Message::Snapshot { step: 3, file: Blob::default() },
            Message::Lost { reason: "gone".to_owned() },
            Message::Paused { step: 3 },
            text(None),
            text(Some(files().cell)),
            Message::Checked { passed: true, report: "all".to_owned() },
            Message::Refused { reason: "why".to_owned() },
        ];
        for message in messages {
            let text = serde_json::to_string(&message).expect("a message is JSON");
            assert_eq!(serde_json::from_str::<Message>(&text).expect("what was written is read"), message);
        }
        assert!(serde_json::from_str::<Message>(r#"{"message":"tea"}"#).is_err());
    }
}
