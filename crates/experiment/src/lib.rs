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

mod beginning;
mod blob;
mod bytes;
mod cohort;
mod command;
mod crossing;
mod curvature;
mod curve;
mod diagnostics;
mod error;
mod event;
mod experiment;
mod exponents;
mod grid;
mod keys;
mod link;
mod message;
mod names;
mod nearest;
mod number;
mod optimum;
mod preset;
mod record;
mod reproduction;
mod resolved;
mod run;
mod scheme_option;
mod search;
mod settings;
mod summary;
mod toy;
mod transformer;
mod words;

pub use beginning::{Beginning, SchemeBeginning};
pub use blob::Blob;
pub use bytes::Bytes;
pub use cohort::{Budget, PackError, pack};
pub use command::{Device, command};
pub use crossing::{Crossing, CrossingFound, LossRatio, Pair};
pub use curvature::{CurvatureFound, StartCurvature};
pub use curve::{Curve, Look, Point, spread};
pub use diagnostics::{Diagnosis, Symptom, symptoms_in_words};
pub use error::ExperimentError;
pub use event::Event;
pub use experiment::{Experiment, Seeds};
pub use exponents::{ExponentCell, ExponentFit, Exponents, RateLaw, RateLawOf};
pub use grid::{Cell, SECOND_NAMES, first_name};
pub use keys::{KEYS, Key, nearest_key};
pub use link::{LINK_VERSION, Link, LinkFault};
pub use message::{AdapterFiles, Ask, Message};
pub use names::{
    Accuracy, BEGIN_ELSEWHERE, Form, Module, OptimizerName, Preconditioner, Readout, Scaling, Schedule, Task,
};
pub use nearest::nearest;
pub use number::{factor_text, learning_rate_text, loss_text, rounded_rate_text};
pub use optimum::{Comparison, FEWEST_EXAMPLES, Optimum};
pub use preset::{PRESETS, Preset};
pub use record::Record;
pub use reproduction::Reproduction;
pub use resolved::{Base, Data, LARGEST_GRID, LARGEST_SEED, Optimizer, Resolved};
pub use run::{Diverged, Evaluation, RunResult, StartCost};
pub use scheme_option::SchemeOption;
pub use search::{Choice, RateSearch, Why};
pub use summary::{Failure, RateSummary, SchemeSummary, Setting, Summary};
pub use toy::{Toy, ToyReadout, ToyRuns, ToySlope, ToyTrace, ToyWidth};
pub use transformer::{DecoderWidth, Transformer};
