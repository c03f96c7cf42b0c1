//! The linear layer y = x Wᵀ.

use crate::scalar::both;
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
    if rows == 1 && inputs > 0 {
        assert!(x.len() == inputs && y.len() == outputs && w.len() == inputs * outputs, "operands of {shape:?}");
        return one_row(x, w, y, threads, scratch);
    }
    let (x, w) = (Matrix::new(x, rows, inputs), Matrix::new(w.decode(scratch), outputs, inputs));
    S::matmul_by(threads, y, x, w.t(), S::ONE, Store::Set);
}

/// Elements of W in a panel, which are decoded together, and still in cache when they are read.
const PANEL: usize = 1 << 15;
/// Minimum elements of W in a part that a thread computes.
const PART: usize = 1 << 18;

/// The product of a single row, as a text needs that is continued token by token. Its time is that of reading W, so W is read once.
fn one_row<S: Scalar>(x: &[S], w: Weights<'_, S>, y: &mut [S], threads: Threads, scratch: &mut Vec<S>) {
    let inputs = x.len();
    if y.len() > 1 && w.len() >= 2 * PART {
        let middle = y.len() / 2;
        let (left, right) = y.split_at_mut(middle);
        let [of_left, of_right] = [0..middle * inputs, middle * inputs..w.len()].map(|part| w.slice(part));
        let one = || one_row(x, of_left, left, threads, scratch);
        return both(threads, one, || one_row(x, of_right, right, threads, &mut Vec::new()));
    }
    let rows = (PANEL / inputs).max(1);
    for (panel, y) in y.chunks_mut(rows).enumerate() {
        let start = panel * rows * inputs;
        let w = w.slice(start..start + y.len() * inputs).decode(scratch);
        S::matmul(y, Matrix::new(x, 1, inputs), Matrix::new(w, y.len(), inputs).t(), S::ONE, Store::Set);
    }
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
