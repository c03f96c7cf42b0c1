//! What is said while an experiment runs: events, results of runs, diagnostics, and the messages between page and worker.
//!
//! Everything here is read back from files and other threads, so it is plain data with serde's traits. The room uses `config`.

pub(crate) mod beginning;
pub(crate) mod blob;
pub(crate) mod curve;
pub(crate) mod diagnostics;
pub(crate) mod event;
pub(crate) mod message;
pub(crate) mod run;

pub use beginning::{Beginning, SchemeBeginning};
pub use blob::Blob;
pub use curve::{Curve, Look, Point, spread};
pub use diagnostics::{Diagnosis, Symptom, symptoms_in_words};
pub use event::Event;
pub use message::{AdapterFiles, Ask, Message, SchemeInfo};
pub use run::{Diverged, Evaluation, RunResult, StartCost};
