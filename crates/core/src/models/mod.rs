//! Models: functions that push ops on a tape, and the frozen weights they stand on.

mod base;
mod config_json;
mod decoder;
pub mod teacher_student;

pub use base::{Base, BaseError};
pub(crate) use decoder::initial_weight;
pub use decoder::{Adapters, Config, MODULES, Training, decoder};
