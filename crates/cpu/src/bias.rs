//! The bias of a linear layer: a vector that is added to every row.

use crate::simd::vectorize;
use crate::{Scalar, Weights};

/// `y` (N, O) = `x` (N, O) + `b` (O). `scratch` holds `b` if it must be decoded.
///
/// # Panics
/// If `x` and `y` differ in length, or are not whole rows as wide as `b`.
pub fn forward<S: Scalar>(x: &[S], b: Weights<'_, S>, y: &mut [S], scratch: &mut Vec<S>) {
    check(x.len(), y.len(), b.len());
    let b = b.decode(scratch);
    vectorize(
        #[inline(always)]
        || {
            for (x, y) in x.chunks_exact(b.len()).zip(y.chunks_exact_mut(b.len())) {
                for ((y, &x), &b) in y.iter_mut().zip(x).zip(b) {
                    *y = x + b;
                }
            }
        },
    );
}

/// `db` (O) += Σ over the rows of `dy` (N, O). The gradient of x is `dy` itself.
///
/// # Panics
/// If `dy` is not whole rows as wide as `db`.
pub fn backward_weight<S: Scalar>(dy: &[S], db: &mut [S]) {
    check(dy.len(), dy.len(), db.len());
    vectorize(
        #[inline(always)]
        || {
            for dy in dy.chunks_exact(db.len()) {
                for (db, &dy) in db.iter_mut().zip(dy) {
                    *db += dy;
                }
            }
        },
    );
}

fn check(x: usize, y: usize, width: usize) {
    assert_eq!(x, y, "x and y must be of equal length");
    assert!(width > 0 && x.is_multiple_of(width), "{x} elements are no rows of {width} columns");
}
