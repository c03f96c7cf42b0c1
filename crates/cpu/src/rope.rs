//! Rotary position embedding: rotates pairs of features by an angle proportional to the position.
//!
//! Su et al. 2021, arXiv 2104.09864, in the layout of Hugging Face's Llama: feature `i` of a head is paired with
//! feature `i + D/2`, or `i + P/2` if only the first P features of a head are rotated. A rotation is orthogonal, so the backward pass rotates by the negative
//! angle; a factor in the tables stays.

use crate::simd::vectorize;
use crate::{Scalar, Store};

/// The sizes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows N, whole sequences one after another: row `r` is at position `r % tokens`, unless its position is given.
    pub rows: usize,
    /// Tokens T of a sequence.
    pub tokens: usize,
    /// Heads H, side by side in a row.
    pub heads: usize,
    /// Head size D.
    pub head_size: usize,
    /// Features P of each head that are rotated, the first ones; even, at most D.
    pub rotated: usize,
}

/// The angles of the positions.
#[derive(Clone, Copy, Debug)]
pub struct Angles<'a, S> {
    /// Cosines, (T, P/2), or of more positions.
    pub cos: &'a [S],
    /// Sines, likewise.
    pub sin: &'a [S],
    /// The position of each row, (N); `None` for its index in its sequence.
    pub positions: Option<&'a [u32]>,
}

/// `y` (N, H·D) = `x` (N, H·D) with each pair (xᵢ, xᵢ₊ₕ) of the first P features rotated by the angle of its position; h = P/2. The other features stay.
///
/// # Panics
/// If a slice does not have the size that `shape` defines, or a position is beyond the tables.
pub fn forward<S: Scalar>(shape: Shape, x: &[S], angles: Angles<'_, S>, y: &mut [S]) {
    rotate(shape, x, angles, y, |x, y, cos, sin| (x * cos - y * sin, y * cos + x * sin), Store::Set);
}

/// `dx` (N, H·D) from `dy` (N, H·D): each pair rotated by the negative angle.
///
/// # Panics
/// If a slice does not have the size that `shape` defines, or a position is beyond the tables.
pub fn backward<S: Scalar>(shape: Shape, dy: &[S], angles: Angles<'_, S>, dx: &mut [S], store: Store) {
    rotate(shape, dy, angles, dx, |x, y, cos, sin| (x * cos + y * sin, y * cos - x * sin), store);
}

#[inline(always)]
fn rotate<S: Scalar>(
    shape: Shape,
    x: &[S],
    angles: Angles<'_, S>,
    y: &mut [S],
    turn: impl Fn(S, S, S, S) -> (S, S),
    store: Store,
) {
    let Shape { rows, tokens, heads, head_size, rotated } = shape;
    let Angles { cos, sin, positions } = angles;
    assert!(rotated.is_multiple_of(2), "rope pairs features: {rotated} of them cannot be halved");
    assert!(rotated <= head_size, "a head of {head_size} features has no {rotated} to rotate");
    let half = rotated / 2;
    assert_eq!(x.len(), rows * heads * head_size);
    assert_eq!(y.len(), x.len());
    assert!(cos.len() >= tokens * half && cos.len() == sin.len(), "the tables must have every position of a sequence");
    assert!(positions.is_none_or(|positions| positions.len() == rows), "a position for each of {rows} rows");
    if x.is_empty() {
        return;
    }
    let width = heads * head_size;
    vectorize(
        #[inline(always)]
        || {
            for (row, (x, y)) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).enumerate() {
                let position = positions.map_or(row % tokens, |positions| positions[row] as usize);
                let angles = position * half..(position + 1) * half;
                let (cos, sin) = (&cos[angles.clone()], &sin[angles]);
                for (x, y) in x.chunks_exact(head_size).zip(y.chunks_exact_mut(head_size)) {
                    let ((x, x_stays), (y, y_stays)) = (x.split_at(rotated), y.split_at_mut(rotated));
                    let (x_low, x_high) = x.split_at(half);
                    let (y_low, y_high) = y.split_at_mut(half);
                    let inputs = x_low.iter().zip(x_high).zip(cos.iter().zip(sin));
                    for ((y_low, y_high), ((&low, &high), (&cos, &sin))) in y_low.iter_mut().zip(y_high).zip(inputs) {
                        let (low, high) = turn(low, high, cos, sin);
                        store.put(y_low, low);
                        store.put(y_high, high);
                    }
                    for (y, &x) in y_stays.iter_mut().zip(x_stays) {
                        store.put(y, x);
                    }
                }
            }
        },
    );
}
