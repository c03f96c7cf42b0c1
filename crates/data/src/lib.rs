//! What models are trained on: a synthetic little world with tasks over it, texts and examples of one's own, and the batches of them.
//!
//! - [`world`] makes stories; [`pretraining()`] makes the text the built-in bases learn from.
//! - [`Task`] makes [`Example`]s with one right completion each: translation into a [`Dialect`], questions, sums.
//! - [`Dataset`] is such examples, or a text or JSON lines that somebody brought; it splits into training and validation.
//! - [`Sampler`] and [`validation`] cut a dataset into [`Batch`]es.
//!
//! Callers hand in bytes and a [`Tokenizer`](loralab_tokenizer::Tokenizer): nothing here opens a file, so it all runs in a browser.
//! Everything is a pure function of its seed, on every machine.

mod batch;
mod dataset;
mod error;
mod format;
#[cfg(test)]
mod hash;
mod pretraining;
mod table;
mod task;
pub mod world;

pub use batch::{Batch, ExactMatches, Sampler, validation};
pub use dataset::{Dataset, HELD_OUT, Split};
pub use error::Error;
pub use format::{Structure, looks_structured};
pub use pretraining::pretraining;
pub use task::dialect::Dialect;
pub use task::{EXAMPLE_BYTES, Example, Task};
