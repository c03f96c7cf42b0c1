//! Rotary position embedding: rotates pairs of features by an angle proportional to the position.
//!
//! Su et al. 2021, arXiv 2104.09864, in the layout of Hugging Face's Llama: feature `i` of a head is paired with
//! feature `i + D/2`. A rotation is orthogonal, so the backward pass rotates by the negative angle.

use crate::simd::vectorize;
use crate::{Scalar, Store};

/// The sizes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows N, whole sequences one after another: row `r` is at position `r % tokens`.
    pub rows: usize,
    /// Tokens T of a sequence.
    pub tokens: usize,
    /// Heads H, side by side in a row.
    pub heads: usize,
    /// Head size D, even.
    pub head_size: usize,
}

/// `y` (N, H·D) = `x` (N, H·D) with each pair (xᵢ, xᵢ₊ₕ) rotated by the angle of its position; h = D/2.
///
/// `cos` and `sin` (T, D/2) are tables of those angles.
///
/// # Panics
/// If a slice does not have the size that `shape` defines.
pub fn forward<S: Scalar>(shape: Shape, x: &[S], cos: &[S], sin: &[S], y: &mut [S]) {
    rotate(shape, x, cos, sin, y, |x, y, cos, sin| (x * cos - y * sin, y * cos + x * sin), Store::Set);
}

/// `dx` (N, H·D) from `dy` (N, H·D): each pair rotated by the negative angle.
///
/// # Panics
/// If a slice does not have the size that `shape` defines.
pub fn backward<S: Scalar>(shape: Shape, dy: &[S], cos: &[S], sin: &[S], dx: &mut [S], store: Store) {
    rotate(shape, dy, cos, sin, dx, |x, y, cos, sin| (x * cos + y * sin, y * cos - x * sin), store);
}

#[inline(always)]
fn rotate<S: Scalar>(
    shape: Shape,
    x: &[S],
    cos: &[S],
    sin: &[S],
    y: &mut [S],
    turn: impl Fn(S, S, S, S) -> (S, S),
    store: Store,
) {
    let Shape { rows, tokens, heads, head_size } = shape;
    assert!(head_size.is_multiple_of(2), "rope pairs features: a head of {head_size} cannot be halved");
    let half = head_size / 2;
    assert_eq!(x.len(), rows * heads * head_size);
    assert_eq!(y.len(), x.len());
    assert_eq!(cos.len(), tokens * half);
    assert_eq!(sin.len(), tokens * half);
    if x.is_empty() {
        return;
    }
    let width = heads * head_size;
    vectorize(
        #[inline(always)]
        || {
            for (row, (x, y)) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).enumerate() {
                let angles = row % tokens * half..(row % tokens + 1) * half;
                let (cos, sin) = (&cos[angles.clone()], &sin[angles]);
                for (x, y) in x.chunks_exact(head_size).zip(y.chunks_exact_mut(head_size)) {
                    let (x_low, x_high) = x.split_at(half);
                    let (y_low, y_high) = y.split_at_mut(half);
                    let inputs = x_low.iter().zip(x_high).zip(cos.iter().zip(sin));
                    for ((y_low, y_high), ((&low, &high), (&cos, &sin))) in y_low.iter_mut().zip(y_high).zip(inputs) {
                        let (low, high) = turn(low, high, cos, sin);
                        store.put(y_low, low);
                        store.put(y_high, high);
                    }
                }
            }
        },
    );
}
