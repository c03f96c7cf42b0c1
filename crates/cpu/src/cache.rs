//! Rows kept for later calls: the keys and values of the tokens that a model has read of each text.

use crate::Scalar;

/// The sizes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Tokens T of a sequence in this call.
    pub tokens: usize,
    /// Positions C that the cache has for each sequence.
    pub context: usize,
    /// Columns I.
    pub columns: usize,
}

/// Writes each row of `x` (N, I), whole sequences of T rows one after another, to the row of `cache` (B·C, I) that its sequence has for its position,
/// `positions` (N). A row whose position is not below C is left out. Other rows of the cache stay as they are.
///
/// # Panics
/// If a slice does not have the size that `shape` defines.
pub fn forward<S: Scalar>(shape: Shape, x: &[S], positions: &[u32], cache: &mut [S]) {
    let Shape { tokens, context, columns } = shape;
    assert_eq!(x.len(), positions.len() * columns, "a position for each row of {shape:?}");
    assert_eq!(cache.len(), positions.len() / tokens * context * columns, "the cache of {shape:?}");
    for ((row, x), &position) in x.chunks_exact(columns).enumerate().zip(positions) {
        if (position as usize) < context {
            let place = row / tokens * context + position as usize;
            cache[place * columns..][..columns].copy_from_slice(x);
        }
    }
}
