//! The records of a training: events, results of runs, diagnostics, and the messages between page and worker.
//!
//! Everything here is read back from files and other threads, so it is plain data with serde's traits. This module uses `config`.

pub(crate) mod blob;
pub(crate) mod curve;
pub(crate) mod diagnostics;
pub(crate) mod event;
pub(crate) mod message;
pub(crate) mod run;
pub(crate) mod start;

pub use blob::Blob;
pub use curve::{AdapterSnapshot, Curve, Point, spread};
pub use diagnostics::{Diagnosis, Symptom, symptoms_in_words};
pub use event::{Event, Logged};
pub use message::{AdapterFiles, Message, Request};
pub use run::{
    ClassScores, Correlations, Diverged, Evaluation, RunResult, StartCost, StopReason, Stopped, TextMeasures,
};
pub use start::{LayerStart, SchemeStart};
