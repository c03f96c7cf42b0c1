//! An experiment as a person writes it and as it is checked: its settings, grid, link, command line and presets.
//!
//! Every setting is one row of [`table`]: its field, check, flag, words and place in the form follow from it. This module uses no other.

pub(crate) mod bytes;
pub(crate) mod check;
pub(crate) mod cohort;
pub(crate) mod command;
pub(crate) mod data;
pub(crate) mod error;
pub(crate) mod experiment;
pub(crate) mod grid;
pub(crate) mod keys;
pub(crate) mod link;
pub(crate) mod names;
pub(crate) mod nearest;
pub(crate) mod number;
pub(crate) mod pattern;
pub(crate) mod preset;
pub(crate) mod resolved;
pub(crate) mod schedule;
pub(crate) mod scheme_option;
pub(crate) mod settings;
pub(crate) mod table;

pub use bytes::Bytes;
pub use check::Listed;
pub use cohort::{Budget, PackError, pack};
pub use command::{Device, command};
pub use data::{Fields, HeldOut};
pub use error::ExperimentError;
pub use experiment::Seeds;
pub use grid::{Cell, SECOND_NAMES, first_name};
pub use keys::{Flag, Key, nearest_key};
pub use link::{LINK_VERSION, Link, LinkFault};
pub use names::{Accuracy, BEGIN_ELSEWHERE, Form, OptimizerName, Preconditioner, Quantize, Readout, Scaling, Task};
pub use nearest::nearest;
pub use number::{factor_text, fixed_text, learning_rate_text, loss_text, rounded_rate_text};
pub use pattern::OfModules;
pub use preset::{PRESETS, Preset};
pub use resolved::{Base, Data, LARGEST_GRID, LARGEST_SEED, Optimizer};
pub use schedule::Schedule;
pub use scheme_option::SchemeOption;
pub use table::{Experiment, FLAGS, KEYS, Resolved};
