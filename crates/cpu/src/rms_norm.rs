//! Root-mean-square normalisation. Zhang and Sennrich 2019, arXiv 1910.07467.

use crate::reduce::sum;
use crate::simd::vectorize;
use crate::{Scalar, Store, Weights};

/// The sizes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows N, each normalised independently.
    pub rows: usize,
    /// Columns I.
    pub width: usize,
}

/// `y` (N, I) = x w / √(mean(x²) + ε), the mean taken over each row of `x` (N, I); `w` is (I).
///
/// `inverse_rms` (N) = 1 / √(mean(x²) + ε) is for the backward pass. `scratch` holds `w` if it must be decoded.
///
/// # Panics
/// If a slice does not have the size that `shape` defines.
pub fn forward<S: Scalar>(
    shape: Shape,
    x: &[S],
    w: Weights<'_, S>,
    epsilon: S,
    y: &mut [S],
    inverse_rms: &mut [S],
    scratch: &mut Vec<S>,
) {
    let Shape { rows, width } = shape;
    shape.check(&[x.len(), y.len()], inverse_rms.len(), w.len());
    if rows * width == 0 {
        return;
    }
    let w = w.decode(scratch);
    let count = S::from_f64(width as f64);
    vectorize(
        #[inline(always)]
        || {
            for ((x, y), inverse) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).zip(inverse_rms) {
                *inverse = (sum([x], |[x]| x * x) / count + epsilon).inverse_sqrt();
                for ((y, &x), &w) in y.iter_mut().zip(x).zip(w) {
                    *y = x * *inverse * w;
                }
            }
        },
    );
}

/// `dx` (N, I) (+)= c · (w dy − x · c² · mean(w dy x)), where c is the row's `inverse_rms` from [`forward`].
///
/// `scratch` holds `w` if it must be decoded.
///
/// # Panics
/// If a slice does not have the size that `shape` defines.
pub fn backward_input<S: Scalar>(
    shape: Shape,
    x: &[S],
    w: Weights<'_, S>,
    inverse_rms: &[S],
    dy: &[S],
    dx: &mut [S],
    store: Store,
    scratch: &mut Vec<S>,
) {
    let Shape { rows, width } = shape;
    shape.check(&[x.len(), dy.len(), dx.len()], inverse_rms.len(), w.len());
    if rows * width == 0 {
        return;
    }
    let w = w.decode(scratch);
    let count = S::from_f64(width as f64);
    vectorize(
        #[inline(always)]
        || {
            let inputs = x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(inverse_rms);
            for (((x, dy), &inverse), dx) in inputs.zip(dx.chunks_exact_mut(width)) {
                let mean = sum([x, dy, w], |[x, dy, w]| w * dy * x) / count;
                let pull = mean * inverse * inverse;
                for ((dx, &x), (&dy, &w)) in dx.iter_mut().zip(x).zip(dy.iter().zip(w)) {
                    store.put(dx, inverse * (w * dy - x * pull));
                }
            }
        },
    );
}

/// `dw` (I) += Σ over rows of dy · x · `inverse_rms`.
///
/// # Panics
/// If a slice does not have the size that `shape` defines.
pub fn backward_weight<S: Scalar>(shape: Shape, x: &[S], inverse_rms: &[S], dy: &[S], dw: &mut [S]) {
    let Shape { rows, width } = shape;
    shape.check(&[x.len(), dy.len()], inverse_rms.len(), dw.len());
    if rows * width == 0 {
        return;
    }
    vectorize(
        #[inline(always)]
        || {
            for ((x, dy), &inverse) in x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(inverse_rms) {
                for ((dw, &x), &dy) in dw.iter_mut().zip(x).zip(dy) {
                    *dw += dy * (x * inverse);
                }
            }
        },
    );
}

impl Shape {
    fn check(self, full: &[usize], per_row: usize, per_feature: usize) {
        for &length in full {
            assert_eq!(length, self.rows * self.width, "a (N, I) operand of {self:?}");
        }
        assert_eq!(per_row, self.rows, "the (N) operand of {self:?}");
        assert_eq!(per_feature, self.width, "the (I) operand of {self:?}");
    }
}
