//! Second moments of rows with a code of them, and their mean, as weighted sums.

use crate::{Matrix, Scalar, Scratch, Store};

/// The sizes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows N.
    pub rows: usize,
    /// Columns C of the code.
    pub codes: usize,
    /// Columns I of x.
    pub inputs: usize,
}

/// `moments` (C + 1, I) += Σ w · [c, 1]ᵀ x over the rows: the second moment of the code c with x, then x alone.
///
/// `code` is (N, C), `x` (N, I), `weights` (N); with weight 1/N the sums are E\[c xᵀ\] and E\[x\]. A row of weight 0 is not read: it adds
/// exactly 0, even if it is not finite. `code` may be `x` itself.
///
/// # Panics
/// If a slice does not have the size that `shape` defines.
pub fn forward<S: Scalar>(
    shape: Shape,
    code: &[S],
    x: &[S],
    weights: &[S],
    moments: &mut [S],
    scratch: &mut Scratch<S>,
) {
    let Shape { rows, codes, inputs } = shape;
    assert_eq!((code.len(), x.len()), (rows * codes, rows * inputs), "the rows of {shape:?}");
    assert_eq!((weights.len(), moments.len()), (rows, (codes + 1) * inputs), "the weights and moments of {shape:?}");
    let (_, [weighted, counted]) = scratch.split([rows * codes, rows * inputs]);
    for (row, &weight) in weights.iter().enumerate() {
        let (codes, inputs) = (row * codes..(row + 1) * codes, row * inputs..(row + 1) * inputs);
        let (weighted, counted) = (&mut weighted[codes.clone()], &mut counted[inputs.clone()]);
        if weight == S::ZERO {
            weighted.fill(S::ZERO);
            counted.fill(S::ZERO);
            continue;
        }
        weighted.iter_mut().zip(&code[codes]).for_each(|(weighted, &c)| *weighted = weight * c);
        counted.copy_from_slice(&x[inputs]);
    }
    let (second, mean) = moments.split_at_mut(codes * inputs);
    let counted = Matrix::new(counted, rows, inputs);
    S::matmul(second, Matrix::new(weighted, rows, codes).t(), counted, S::ONE, Store::Add);
    S::matmul(mean, Matrix::new(weights, rows, 1).t(), counted, S::ONE, Store::Add);
}
