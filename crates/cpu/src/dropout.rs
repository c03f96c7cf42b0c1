//! Dropout: Srivastava et al. 2014, *Dropout: a simple way to prevent neural networks from overfitting*, JMLR 15, inverted as in PyTorch.
//!
//! The random words are the caller's, so the backward pass computes the same mask again instead of storing it.

use crate::{Scalar, Store};

/// `y` (N, I) (+)= m `x` (N, I), where an element of the mask m is 0 if its random word is below `threshold`, and else `factor`: 1/(1 − p), so that the expected
/// value stays. The gradient of x is the same product of the gradient of y.
///
/// `words` gives the random words of four neighbouring columns, from a row and the index of the four; `None` for a row that is left as it is.
///
/// # Panics
/// If `x` and `y` differ in length, or are not whole rows of `width` columns.
pub fn apply<S: Scalar>(
    x: &[S],
    width: usize,
    words: impl Fn(usize, usize) -> Option<[u32; 4]>,
    threshold: u32,
    factor: S,
    y: &mut [S],
    store: Store,
) {
    assert_eq!(x.len(), y.len(), "x and y must be of equal length");
    assert!(width > 0 && x.len().is_multiple_of(width), "{} elements are no rows of {width} columns", x.len());
    for (row, (x, y)) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).enumerate() {
        for (index, (x, y)) in x.chunks(4).zip(y.chunks_mut(4)).enumerate() {
            let Some(words) = words(row, index) else {
                y.iter_mut().zip(x).for_each(|(y, &x)| store.put(y, x));
                continue;
            };
            for ((y, &x), word) in y.iter_mut().zip(x).zip(words) {
                store.put(y, if word < threshold { S::ZERO } else { x * factor });
            }
        }
    }
}
