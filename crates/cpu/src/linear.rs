//! The linear layer y = x Wᵀ.

use crate::{Matrix, Scalar, Store, Threads, Weights};

/// The sizes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows N.
    pub rows: usize,
    /// Columns I of x.
    pub inputs: usize,
    /// Columns O of y.
    pub outputs: usize,
}

/// `y` (N, O) = `x` (N, I) · `w` (O, I)ᵀ. `scratch` holds `w` if it must be decoded.
///
/// # Panics
/// If a slice does not have the size that `shape` defines.
pub fn forward<S: Scalar>(
    shape: Shape,
    x: &[S],
    w: Weights<'_, S>,
    y: &mut [S],
    threads: Threads,
    scratch: &mut Vec<S>,
) {
    let Shape { rows, inputs, outputs } = shape;
    let (x, w) = (Matrix::new(x, rows, inputs), Matrix::new(w.decode(scratch), outputs, inputs));
    S::matmul_by(threads, y, x, w.t(), S::ONE, Store::Set);
}

/// `dx` (N, I) (+)= `dy` (N, O) · `w` (O, I). `scratch` holds `w` if it must be decoded.
///
/// # Panics
/// If a slice does not have the size that `shape` defines.
pub fn backward_input<S: Scalar>(
    shape: Shape,
    dy: &[S],
    w: Weights<'_, S>,
    dx: &mut [S],
    store: Store,
    threads: Threads,
    scratch: &mut Vec<S>,
) {
    let Shape { rows, inputs, outputs } = shape;
    let (dy, w) = (Matrix::new(dy, rows, outputs), Matrix::new(w.decode(scratch), outputs, inputs));
    S::matmul_by(threads, dx, dy, w, S::ONE, store);
}

/// `dw` (O, I) += `dy` (N, O)ᵀ · `x` (N, I).
///
/// # Panics
/// If a slice does not have the size that `shape` defines.
pub fn backward_weight<S: Scalar>(shape: Shape, x: &[S], dy: &[S], dw: &mut [S]) {
    let Shape { rows, inputs, outputs } = shape;
    let (x, dy) = (Matrix::new(x, rows, inputs), Matrix::new(dy, rows, outputs));
    S::matmul(dw, dy.t(), x, S::ONE, Store::Add);
}
