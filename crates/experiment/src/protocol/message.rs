//! What the page and its worker say to each other: [`Ask`] one way, [`Message`] the other, each as a JSON text. Both lists are closed: whoever
//! reads them handles everything that can be said. A sweep's snapshot, which is large, travels as bytes beside the text.

use serde::{Deserialize, Serialize};

use crate::config::grid::Cell;
use crate::config::table::Experiment;
use crate::protocol::beginning::SchemeBeginning;
use crate::protocol::blob::Blob;
use crate::protocol::event::Event;

/// A trained adapter, as the two files of PEFT's layout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdapterFiles {
    /// Whose it is.
    pub cell: Cell,
    /// `adapter_config.json`
    pub config: String,
    /// `adapter_model.safetensors`
    pub tensors: Blob,
}

/// A scheme, as a person who chooses needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemeInfo {
    /// Its name.
    pub name: String,
    /// What it does, in one line.
    pub about: String,
    /// The paper it comes from.
    pub source: String,
}

/// Something that the page asks of the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Ask {
    /// Train this, which is answered by [`Message::Events`] up to [`Event::Finished`].
    Train {
        /// What.
        experiment: Experiment,
        /// What the file holds that the experiment's `data` names.
        data: Option<String>,
        /// Where to go on from, as [`Message::Snapshot`] told it; none to begin. It is no part of the JSON.
        #[serde(skip)]
        from: Option<Blob>,
    },
    /// Compute how a run of each scheme begins, and train nothing; answered by a [`Message::Begun`] for each, up to the moment that a training
    /// is asked for.
    Inspect {
        /// Of what.
        experiment: Experiment,
        /// What the file holds that the experiment's `data` names.
        data: Option<String>,
    },
    /// Wait before the next step, which is answered by [`Message::Paused`].
    Pause,
    /// Make one step and wait again.
    Step,
    /// Go on.
    Resume,
    /// End the training before the next step.
    Stop,
    /// Continue a text, which is answered by [`Message::Text`].
    Write {
        /// The base, by name.
        base: String,
        /// The adapter on it; none for the base alone.
        adapter: Option<AdapterFiles>,
        /// What to go on from.
        prompt: String,
        /// Most bytes to write; a line's end ends it sooner.
        count: usize,
    },
    /// Take this as a base from now on, under its name, which is answered by [`Message::Base`].
    Base {
        /// Its file's name, as an experiment's `base` says it.
        name: String,
        /// The file, safetensors.
        file: Blob,
    },
    /// Lose the GPU, as when its driver is reset; for tests of what happens then.
    Lose,
    /// Hold every kernel of a training step on this GPU to its error bound, which is answered by [`Message::Checked`].
    Check,
}

/// Something that the worker tells the page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum Message {
    /// The worker is loaded and waits to be asked.
    Ready {
        /// What it trains on.
        device: String,
        /// Whether that is a GPU.
        gpu: bool,
        /// The schemes there are.
        schemes: Vec<SchemeInfo>,
    },
    /// A base was taken.
    Base {
        /// Its name.
        name: String,
        /// Number of its weights.
        weights: usize,
    },
    /// Kernels are being compiled for the GPU, which can take seconds each; told before each and after the last.
    Building {
        /// How many are.
        done: usize,
        /// Of how many.
        of: usize,
    },
    /// What the sweep takes of the device's memory.
    Memory {
        /// Passes one after the other.
        cohorts: usize,
        /// Runs of the largest.
        runs: usize,
        /// Bytes that a pass takes once.
        shared: u64,
        /// Bytes that each of its runs adds.
        per_run: u64,
    },
    /// How a run of a scheme begins.
    Begun {
        /// What it is.
        start: SchemeBeginning,
        /// How many schemes are still to be told of.
        left: usize,
    },
    /// What happened in the sweep since it was last told, in order.
    Events {
        /// What.
        events: Vec<Event>,
    },
    /// A run has ended without diverging.
    Adapter {
        /// Its adapter.
        files: AdapterFiles,
    },
    /// The sweep as it stands after everything that was told until now, to go on from.
    Snapshot {
        /// Steps done of the runs that are under way.
        step: usize,
        /// The snapshot: who keeps it need not read it. It is no part of the JSON.
        #[serde(skip)]
        file: Blob,
    },
    /// The GPU is gone, and the training with it; a sentence why.
    Lost {
        /// The sentence.
        reason: String,
    },
    /// The training waits.
    Paused {
        /// Steps done of the runs that are under way.
        step: usize,
    },
    /// A text was continued.
    Text {
        /// By whose adapter; none for the base alone.
        cell: Option<Cell>,
        /// What follows the prompt.
        text: String,
    },
    /// The kernels were checked.
    Checked {
        /// Whether each was within its bound.
        passed: bool,
        /// What was looked at and found, to be passed on.
        report: String,
    },
    /// What was asked can't be done; a sentence why.
    Refused {
        /// The sentence.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::beginning::Beginning;

    fn files() -> AdapterFiles {
        let cell = Cell { scheme: "init-a".to_owned(), learning_rate: 2e-3, seed: 1 };
        AdapterFiles { cell, config: "{\"r\": 8}\n".to_owned(), tensors: Blob(vec![0, 255, 7]) }
    }

    #[test]
    fn everything_asked_is_json_and_back() {
        let experiment = Experiment { rank: Some(4), ..Experiment::default() };
        let write = |adapter| Ask::Write { base: "nano".to_owned(), adapter, prompt: "a\n\"".to_owned(), count: 9 };
        let asks = [
            Ask::Train { experiment: experiment.clone(), data: None, from: None },
            Ask::Train { experiment: experiment.clone(), data: Some("Text ü".to_owned()), from: None },
            Ask::Inspect { experiment: Experiment::default(), data: Some("Text".to_owned()) },
            Ask::Lose,
            Ask::Pause,
            Ask::Step,
            Ask::Resume,
            Ask::Stop,
            write(None),
            write(Some(files())),
            Ask::Base { name: "my.safetensors".to_owned(), file: Blob(vec![1, 2]) },
            Ask::Check,
        ];
        for ask in asks {
            let text = serde_json::to_string(&ask).expect("an ask is JSON");
            assert_eq!(serde_json::from_str::<Ask>(&text).expect("what was written is read"), ask);
        }
        // Where to go on from travels beside the text.
        let ask = |from| Ask::Train { experiment: experiment.clone(), data: None, from };
        let text = |from| serde_json::to_string(&ask(from)).expect("an ask is JSON");
        assert_eq!(text(Some(Blob(vec![7; 1000]))), text(None));
        assert!(serde_json::from_str::<Ask>(r#"{"ask":"coffee"}"#).is_err());
    }

    #[test]
    fn every_message_is_json_and_back() {
        let text = |cell| Message::Text { cell, text: "…".to_owned() };
        let scheme = SchemeInfo { name: "init-a".to_owned(), about: "a".to_owned(), source: "b".to_owned() };
        let layer = Beginning {
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
            SchemeBeginning { scheme: "eva".to_owned(), scale: 2.0, layers: vec![layer], tokens: 512, seconds: 0.5 };
        let messages = [
            Message::Ready { device: "CPU".to_owned(), gpu: false, schemes: vec![scheme] },
            Message::Base { name: "my.safetensors".to_owned(), weights: 9 },
            Message::Building { done: 1, of: 9 },
            Message::Memory { cohorts: 1, runs: 14, shared: 1 << 40, per_run: 3 },
            Message::Begun { start, left: 1 },
            Message::Events { events: vec![Event::Base { loss: Some(3.0), accuracy: None }] },
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
