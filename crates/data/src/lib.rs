//! Data to train on: a synthetic little world with tasks over it, texts and examples of one's own, and the batches of them.
//!
//! - [`world`] makes stories; [`pretraining()`] makes the text the built-in bases learn from.
//! - [`Task`] makes [`Example`]s with one right completion each: translation into a [`Dialect`], questions, sums.
//! - [`Reader`] makes a dataset from the bytes of a file: a text, or records in JSON lines, JSON, tables and Parquet.
//! - [`Dataset`] is a text, examples or labelled texts as token ids; it splits into training and validation.
//! - [`answer`] compares what a model wrote with what is wanted.
//! - [`Sampler`] and [`validation`] cut a dataset into [`Batch`]es.
//!
//! Callers hand in bytes and a [`Tokenizer`](loralab_tokenizer::Tokenizer): nothing here opens a file, so it all runs in a browser.
//! Everything is a pure function of its seed, on every machine.

pub mod answer;
mod batch;
mod confusion;
pub mod copies;
mod correlation;
mod dataset;
mod encode;
mod error;
mod example;
mod format;
#[cfg(test)]
mod hash;
mod labelled;
mod pack;
mod pretraining;
mod reader;
mod records;
mod shape;
mod table;
mod task;
mod template;
mod text;
pub mod world;

pub use batch::{Batch, ExactMatches, Sampler, bytes_per_token, spread, validation};
pub use confusion::Confusion;
pub use correlation::Correlation;
pub use dataset::{Dataset, HELD_OUT, Split};
pub use error::{Error, Place};
pub use example::{Example, Examples, Lesson};
pub use format::{Format, format_of};
pub use labelled::{Label, Labelled, LabelledText, Labels, Wanted};
pub use pack::Packed;
pub use pretraining::pretraining;
pub use reader::{FEW, Found, Reader, TooLong};
pub use shape::Fields;
pub use table::Layout;
pub use task::dialect::Dialect;
pub use task::{EXAMPLE_BYTES, Task};
