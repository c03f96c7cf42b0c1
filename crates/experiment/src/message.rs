//! What the page's worker tells the page. The page asks with an [`Experiment`](crate::Experiment); both go as JSON.

use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::summary::Summary;

/// Something that the worker tells the page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum Message {
    /// The worker is loaded and waits for an experiment.
    Ready,
    /// Something happened in the sweep.
    Event {
        /// What.
        event: Event,
    },
    /// How the schemes stand after an evaluation, every run taken at its last one; the final word when every run has ended.
    Standing {
        /// Optimiser steps done.
        step: usize,
        /// The numbers.
        summary: Summary,
        /// Loss against learning rate, as SVG; none when there is nothing to draw.
        figure: Option<String>,
    },
    /// The experiment can't be run; a sentence why.
    Refused {
        /// The sentence.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::tests::{run, setting};

    #[test]
    fn every_message_is_json_and_back() {
        let summary =
            Summary::from_runs(setting(), &[run("init-a", 1e-3, 0, 0.4), run("init-a", 2e-3, 0, f64::INFINITY)]);
        let messages = [
            Message::Ready,
            Message::Event { event: Event::Base { loss: Some(3.0), accuracy: None } },
            Message::Standing { step: 20, summary, figure: Some("<svg/>".to_owned()) },
            Message::Refused { reason: "why".to_owned() },
        ];
        for message in messages {
            let text = serde_json::to_string(&message).expect("a message is JSON");
            assert_eq!(serde_json::from_str::<Message>(&text).expect("what was written is read"), message);
        }
    }
}
