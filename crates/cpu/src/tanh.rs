//! The hyperbolic tangent, and the cap on logits and attention scores that is made of it.

use crate::simd::vectorize;
use crate::{Scalar, Store};

/// y = cap · tanh(x / cap), element by element; with a cap of 1 the hyperbolic tangent itself. Gemma 2: Riviere et al. 2024, arXiv 2408.00118, §2,
/// *logit soft-capping*.
///
/// # Panics
/// If the slices are not of equal length.
pub fn forward<S: Scalar>(x: &[S], cap: S, y: &mut [S]) {
    assert_eq!(x.len(), y.len(), "x and y must be of equal length");
    vectorize(
        #[inline(always)]
        || {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = cap * (x / cap).tanh();
            }
        },
    );
}

/// dx (+)= dy · (1 − t²) with t = y / cap, where y is the result of [`forward`].
///
/// # Panics
/// If the slices are not of equal length.
pub fn backward<S: Scalar>(y: &[S], dy: &[S], cap: S, dx: &mut [S], store: Store) {
    assert!(y.len() == dy.len() && y.len() == dx.len(), "y, dy and dx must be of equal length");
    vectorize(
        #[inline(always)]
        || {
            for ((dx, &y), &dy) in dx.iter_mut().zip(y).zip(dy) {
                let t = y / cap;
                store.put(dx, dy * ((S::ONE - t) * (S::ONE + t)));
            }
        },
    );
}
