//! The sum of two tensors: a residual connection.

use crate::simd::vectorize;
use crate::{Scalar, Store};

/// y = a + b, element by element.
///
/// # Panics
/// If the slices are not of equal length.
pub fn forward<S: Scalar>(a: &[S], b: &[S], y: &mut [S]) {
    assert!(a.len() == b.len() && a.len() == y.len(), "a, b and y must be of equal length");
    vectorize(
        #[inline(always)]
        || {
            for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
                *y = a + b;
            }
        },
    );
}

/// The gradient of either operand: dx (+)= dy.
///
/// # Panics
/// If the slices are not of equal length.
pub fn backward<S: Scalar>(dy: &[S], dx: &mut [S], store: Store) {
    assert_eq!(dy.len(), dx.len(), "dy and dx must be of equal length");
    match store {
        Store::Set => dx.copy_from_slice(dy),
        Store::Add => vectorize(
            #[inline(always)]
            || {
                for (dx, &dy) in dx.iter_mut().zip(dy) {
                    *dx += dy;
                }
            },
        ),
    }
}
