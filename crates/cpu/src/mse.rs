//! Weighted squared error, row by row.

use crate::Scalar;
use crate::reduce::sum;
use crate::simd::vectorize;

/// The sizes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows N.
    pub rows: usize,
    /// Outputs O per row.
    pub outputs: usize,
}

/// `row_loss` (N) = weight · Σ (prediction − target)², the sum over the O outputs of a row.
///
/// `prediction` and `target` are (N, O), `weights` (N); with weight 1/(N·O) the row losses sum to the mean squared
/// error. A row of weight 0 is not read: its loss is exactly 0 even if its prediction is not finite.
///
/// # Panics
/// If a slice does not have the size that `shape` defines.
pub fn forward<S: Scalar>(shape: Shape, prediction: &[S], target: &[S], weights: &[S], row_loss: &mut [S]) {
    shape.check(&[prediction.len(), target.len()], &[weights.len(), row_loss.len()]);
    vectorize(
        #[inline(always)]
        || {
            for (row, (loss, &weight)) in row_loss.iter_mut().zip(weights).enumerate() {
                *loss = S::ZERO;
                if weight != S::ZERO {
                    let range = row * shape.outputs..(row + 1) * shape.outputs;
                    let squares = sum([&prediction[range.clone()], &target[range]], |[p, t]| (p - t) * (p - t));
                    *loss = weight * squares;
                }
            }
        },
    );
}

/// `dprediction` (N, O) = 2 · weight · (prediction − target), the gradient of the sum of the row losses; exactly 0 in
/// rows of weight 0.
///
/// # Panics
/// If a slice does not have the size that `shape` defines.
pub fn backward<S: Scalar>(shape: Shape, prediction: &[S], target: &[S], weights: &[S], dprediction: &mut [S]) {
    shape.check(&[prediction.len(), target.len(), dprediction.len()], &[weights.len()]);
    vectorize(
        #[inline(always)]
        || {
            for (row, &weight) in weights.iter().enumerate() {
                let range = row * shape.outputs..(row + 1) * shape.outputs;
                let dprediction = &mut dprediction[range.clone()];
                if weight == S::ZERO {
                    dprediction.fill(S::ZERO);
                    continue;
                }
                let twice = weight + weight;
                for ((d, &p), &t) in dprediction.iter_mut().zip(&prediction[range.clone()]).zip(&target[range]) {
                    *d = twice * (p - t);
                }
            }
        },
    );
}

impl Shape {
    fn check(self, full: &[usize], per_row: &[usize]) {
        for &length in full {
            assert_eq!(length, self.rows * self.outputs, "an (N, O) operand of {self:?}");
        }
        for &length in per_row {
            assert_eq!(length, self.rows, "an (N) operand of {self:?}");
        }
    }
}
