//! The rectifier max(x, 0).

use crate::simd::vectorize;
use crate::{Scalar, Store};

/// y = x if x is positive or NaN, else 0, element by element.
///
/// # Panics
/// If the slices are not of equal length.
pub fn forward<S: Scalar>(x: &[S], y: &mut [S]) {
    assert_eq!(x.len(), y.len(), "x and y must be of equal length");
    vectorize(
        #[inline(always)]
        || {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = S::ZERO.max(x);
            }
        },
    );
}

/// dx (+)= dy if x is positive, else 0; the gradient at x = 0 is 0, as in PyTorch.
///
/// # Panics
/// If the slices are not of equal length.
pub fn backward<S: Scalar>(x: &[S], dy: &[S], dx: &mut [S], store: Store) {
    assert!(x.len() == dy.len() && x.len() == dx.len(), "x, dy and dx must be of equal length");
    vectorize(
        #[inline(always)]
        || {
            for ((dx, &x), &dy) in dx.iter_mut().zip(x).zip(dy) {
                store.put(dx, if x > S::ZERO { dy } else { S::ZERO });
            }
        },
    );
}
