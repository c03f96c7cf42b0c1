//! Layer normalisation: Ba, Kiros, Hinton 2016, arXiv 1607.06450. Its shift is the op [`bias`](crate::bias).

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

/// `y` (N, I) = (x − μ) c w, where μ is the mean of each row of `x` (N, I), c = 1 / √(variance + ε) and `w` the gain (I). The variance is mean((x − μ)²).
///
/// `mean` (N) = μ and `inverse_deviation` (N) = c are for the backward pass. `scratch` holds `w` if it must be decoded.
///
/// # Panics
/// If a slice does not have the size that `shape` defines.
pub fn forward<S: Scalar>(
    shape: Shape,
    x: &[S],
    w: Weights<'_, S>,
    epsilon: S,
    y: &mut [S],
    mean: &mut [S],
    inverse_deviation: &mut [S],
    scratch: &mut Vec<S>,
) {
    let Shape { rows, width } = shape;
    shape.check(&[x.len(), y.len()], &[mean.len(), inverse_deviation.len()], w.len());
    if rows * width == 0 {
        return;
    }
    let w = w.decode(scratch);
    let count = S::from_f64(width as f64);
    vectorize(
        #[inline(always)]
        || {
            let per_row = mean.iter_mut().zip(inverse_deviation);
            for ((x, y), (mean, inverse)) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).zip(per_row) {
                let center = sum([x], |[x]| x) / count;
                let variance = sum([x], |[x]| (x - center) * (x - center)) / count;
                *mean = center;
                *inverse = (variance + epsilon).inverse_sqrt();
                for ((y, &x), &w) in y.iter_mut().zip(x).zip(w) {
                    *y = (x - center) * *inverse * w;
                }
            }
        },
    );
}

/// `dx` (N, I) (+)= c · (g − mean(g) − x̂ · mean(g x̂)), where g = w dy, x̂ = (x − μ) c, and μ and c come from [`forward`].
///
/// `scratch` holds `w` if it must be decoded.
///
/// # Panics
/// If a slice does not have the size that `shape` defines.
pub fn backward_input<S: Scalar>(
    shape: Shape,
    x: &[S],
    w: Weights<'_, S>,
    mean: &[S],
    inverse_deviation: &[S],
    dy: &[S],
    dx: &mut [S],
    store: Store,
    scratch: &mut Vec<S>,
) {
    let Shape { rows, width } = shape;
    shape.check(&[x.len(), dy.len(), dx.len()], &[mean.len(), inverse_deviation.len()], w.len());
    if rows * width == 0 {
        return;
    }
    let w = w.decode(scratch);
    let count = S::from_f64(width as f64);
    vectorize(
        #[inline(always)]
        || {
            let inputs = x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(mean.iter().zip(inverse_deviation));
            for (((x, dy), (&center, &inverse)), dx) in inputs.zip(dx.chunks_exact_mut(width)) {
                let shift = sum([dy, w], |[dy, w]| w * dy) / count;
                let pull = sum([x, dy, w], |[x, dy, w]| w * dy * (x - center)) / count * inverse * inverse;
                for ((dx, &x), (&dy, &w)) in dx.iter_mut().zip(x).zip(dy.iter().zip(w)) {
                    store.put(dx, inverse * (w * dy - shift - (x - center) * pull));
                }
            }
        },
    );
}

/// `dw` (I) += Σ over rows of dy · (x − μ) · c.
///
/// # Panics
/// If a slice does not have the size that `shape` defines.
pub fn backward_weight<S: Scalar>(shape: Shape, x: &[S], mean: &[S], inverse_deviation: &[S], dy: &[S], dw: &mut [S]) {
    let Shape { rows, width } = shape;
    shape.check(&[x.len(), dy.len()], &[mean.len(), inverse_deviation.len()], dw.len());
    if rows * width == 0 {
        return;
    }
    vectorize(
        #[inline(always)]
        || {
            let per_row = mean.iter().zip(inverse_deviation);
            for ((x, dy), (&center, &inverse)) in x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(per_row) {
                for ((dw, &x), &dy) in dw.iter_mut().zip(x).zip(dy) {
                    *dw += dy * ((x - center) * inverse);
                }
            }
        },
    );
}

impl Shape {
    fn check(self, full: &[usize], per_row: &[usize], per_feature: usize) {
        for &length in full {
            assert_eq!(length, self.rows * self.width, "a (N, I) operand of {self:?}");
        }
        for &length in per_row {
            assert_eq!(length, self.rows, "a (N) operand of {self:?}");
        }
        assert_eq!(per_feature, self.width, "the (I) operand of {self:?}");
    }
}
