//! Random numbers whose bits are the same on every machine, and the small dense mathematics the schemes need.
//!
//! Everything random in loralab comes from [`Philox`], a counter-based generator: the value at a place is a pure
//! function of a seed, a name and that place. Nothing is drawn "after" something else, so a tensor gets the same
//! numbers in any listing order, with any thread count, natively and in a browser.
//!
//! - [`Stream`] fills tensors (uniform, normal): element `i` depends on (seed, name, i) alone.
//! - [`Draws`] reads a stream one number after the other: shuffles, dice, coins.
//! - [`norm()`] is the Euclidean norm.

mod draws;
mod norm;
mod normal;
mod normal_table;
mod philox;
mod stream;

pub use draws::Draws;
pub use norm::norm;
pub use normal_table::COEFFICIENTS;
pub use philox::Philox;
pub use stream::Stream;
