//! The vocabulary of loralab: what an experiment is, what happens while it runs, and what came out of it.
//!
//! The binary, the page and the training core all speak in these types. The crate depends on serde, a TOML reader and
//! loralab's statistics only: it opens no file, starts no thread, reads no clock and knows no GPU.
//!
//! - [`Experiment`] is what a person wrote: every setting optional. [`Experiment::resolve`] checks it once and gives
//!   [`Resolved`], where every value is there and right.
//! - [`Resolved::cells`] is the grid of runs, a [`Cell`] each; [`pack`] cuts it into cohorts that fit in memory.
//! - [`Event`] is what a running sweep reports, [`RunResult`] what one run came to, [`Summary`] what a sweep found;
//!   [`Record`] gathers the first into the last.
//! - [`Link`] says an experiment in an address, [`command()`] on a command line, a [`Preset`] as a story;
//!   [`Ask`] and [`Message`] are what the page and its worker say to each other.

mod analysis;
mod config;
mod protocol;

pub use analysis::*;
pub use config::*;
pub use protocol::*;
