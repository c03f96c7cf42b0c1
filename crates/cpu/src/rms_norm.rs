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

/// The gain g of a norm.
#[derive(Clone, Copy, Debug)]
pub struct Gain<'a, S> {
    /// The stored vector w, (I).
    pub weight: Weights<'a, S>,
    /// True if g is 1 + w, as in Gemma, instead of w.
    pub plus_one: bool,
}

impl<'a, S: Scalar> Gain<'a, S> {
    fn decode<'b>(self, scratch: &'b mut Vec<S>) -> &'b [S]
    where
        'a: 'b,
    {
        if !self.plus_one {
            return self.weight.decode(scratch);
        }
        let gain = self.weight.copy(scratch);
        for gain in gain.iter_mut() {
            *gain = S::ONE + *gain;
        }
        gain
    }
}

/// `y` (N, I) = x g / √(mean(x²) + ε), the mean taken over each row of `x` (N, I); the gain g is (I).
///
/// `inverse_rms` (N) = 1 / √(mean(x²) + ε) is for the backward pass. `scratch` holds the gain if it must be computed.
///
/// # Panics
/// If a slice does not have the size that `shape` defines.
pub fn forward<S: Scalar>(
    shape: Shape,
    x: &[S],
    gain: Gain<'_, S>,
    epsilon: S,
    y: &mut [S],
    inverse_rms: &mut [S],
    scratch: &mut Vec<S>,
) {
    let Shape { rows, width } = shape;
    shape.check(&[x.len(), y.len()], inverse_rms.len(), gain.weight.len());
    if rows * width == 0 {
        return;
    }
    let gain = gain.decode(scratch);
    let count = S::from_f64(width as f64);
    vectorize(
        #[inline(always)]
        || {
            for ((x, y), inverse) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).zip(inverse_rms) {
                *inverse = (sum([x], |[x]| x * x) / count + epsilon).inverse_sqrt();
                for ((y, &x), &gain) in y.iter_mut().zip(x).zip(gain) {
                    *y = x * *inverse * gain;
                }
            }
        },
    );
}

/// `dx` (N, I) (+)= c · (g dy − x · c² · mean(g dy x)), where c is the row's `inverse_rms` from [`forward`].
///
/// `scratch` holds the gain if it must be computed.
///
/// # Panics
/// If a slice does not have the size that `shape` defines.
pub fn backward_input<S: Scalar>(
    shape: Shape,
    x: &[S],
    gain: Gain<'_, S>,
    inverse_rms: &[S],
    dy: &[S],
    dx: &mut [S],
    store: Store,
    scratch: &mut Vec<S>,
) {
    let Shape { rows, width } = shape;
    shape.check(&[x.len(), dy.len(), dx.len()], inverse_rms.len(), gain.weight.len());
    if rows * width == 0 {
        return;
    }
    let gain = gain.decode(scratch);
    let count = S::from_f64(width as f64);
    vectorize(
        #[inline(always)]
        || {
            let inputs = x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(inverse_rms);
            for (((x, dy), &inverse), dx) in inputs.zip(dx.chunks_exact_mut(width)) {
                let mean = sum([x, dy, gain], |[x, dy, gain]| gain * dy * x) / count;
                let pull = mean * inverse * inverse;
                for ((dx, &x), (&dy, &gain)) in dx.iter_mut().zip(x).zip(dy.iter().zip(gain)) {
                    store.put(dx, inverse * (gain * dy - x * pull));
                }
            }
        },
    );
}

/// `dw` (I) += Σ over rows of dy · x · `inverse_rms`, whether the gain is w or 1 + w.
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
