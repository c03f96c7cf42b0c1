//! The shared types of loralab: experiments, the events of their training, and their results.
//!
//! The binary, the page and the training core share these types. The crate depends on serde, a TOML reader and
//! loralab's statistics only: it opens no file, starts no thread, reads no clock and uses no GPU.
//!
//! - [`Experiment`] is the user's input: every setting is optional. [`Experiment::resolve`] checks it once and gives
//!   [`Resolved`], where every setting has a valid value.
//! - [`Resolved::cells`] is the grid of runs, a [`Cell`] each; [`pack`] splits it into cohorts that fit in memory.
//! - [`Event`] is a report of a sweep in training, [`RunResult`] the result of one run, [`Summary`] that of a sweep;
//!   [`Record`] collects events into a summary.
//! - [`Link`] encodes an experiment in an address, [`command()`] on a command line, a [`Preset`] is a prepared experiment with a description;
//!   [`Request`] and [`Message`] are the messages between the page and its worker.

mod analysis;
mod config;
mod protocol;

pub use analysis::*;
pub use config::*;
pub use protocol::*;
