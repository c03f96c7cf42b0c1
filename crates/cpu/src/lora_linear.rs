//! The linear layer with a low-rank adapter: y = x Wᵀ + s (x Aᵀ) Bᵀ. Hu et al. 2021, arXiv 2106.09685, §4.1.
//!
//! For a start with a non-zero product B·A, a second pair (A₀, B₀) that is not trained subtracts that product:
//! y = x Wᵀ + s ((x Aᵀ) Bᵀ − (x A₀ᵀ) B₀ᵀ). The difference of the two products is computed before x Wᵀ is added, so
//! while the pairs are equal y is exactly the base's. W has no gradient, and B·A is never formed.

use crate::simd::vectorize;
use crate::{Matrix, Scalar, Scratch, Store, Threads, Weights, linear};

/// The sizes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows N.
    pub rows: usize,
    /// Columns I of x.
    pub inputs: usize,
    /// Columns O of y.
    pub outputs: usize,
    /// Rank R of both pairs.
    pub rank: usize,
}

/// The two factors of an adapter.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a, S> {
    /// A (R, I).
    pub a: &'a [S],
    /// B (O, R).
    pub b: &'a [S],
}

/// `y` (N, O) = x Wᵀ + s (z Bᵀ − (x A₀ᵀ) B₀ᵀ), and `z` (N, R) = x′ Aᵀ for the backward pass.
///
/// `x` is (N, I), `w` (O, I), and (A₀, B₀) the `frozen` pair. x′, `of_adapter` (N, I), is x itself, or with dropout the masked x.
///
/// # Panics
/// If a slice does not have the size that `shape` defines.
pub fn forward<S: Scalar>(
    shape: Shape,
    x: &[S],
    of_adapter: &[S],
    w: Weights<'_, S>,
    pair: Pair<'_, S>,
    frozen: Option<Pair<'_, S>>,
    scale: S,
    z: &mut [S],
    y: &mut [S],
    threads: Threads,
    scratch: &mut Scratch<S>,
) {
    let Shape { rows, outputs, rank, .. } = shape;
    down(shape, of_adapter, pair.a, z);
    let Some(frozen) = frozen else {
        linear::forward(shape.base(), x, w, y, threads, scratch.weights());
        up(shape, z, pair.b, scale, y, Store::Add);
        return;
    };
    let (weights, [frozen_z, product, frozen_product]) = scratch.split([rows * rank, rows * outputs, rows * outputs]);
    linear::forward(shape.base(), x, w, y, threads, weights);
    // The two products are computed in the same way and then subtracted, rather than accumulated: only then are they equal
    // bit for bit if the pairs are equal.
    up(shape, z, pair.b, S::ONE, product, Store::Set);
    down(shape, x, frozen.a, frozen_z);
    up(shape, frozen_z, frozen.b, S::ONE, frozen_product, Store::Set);
    vectorize(
        #[inline(always)]
        || {
            for ((y, &product), &frozen_product) in y.iter_mut().zip(&*product).zip(&*frozen_product) {
                *y += scale * (product - frozen_product);
            }
        },
    );
}

/// The gradients of the adapter: `dz` (N, R) = s dy B, `da` (R, I) += dzᵀ x, `db` (O, R) += s dyᵀ z; `x` is what A read.
///
/// `z` is a result of [`forward`], `dy` is (N, O). `dz` is also an input of [`backward_input`].
///
/// # Panics
/// If a slice does not have the size that `shape` defines.
pub fn backward_adapter<S: Scalar>(
    shape: Shape,
    x: &[S],
    z: &[S],
    dy: &[S],
    b: &[S],
    scale: S,
    dz: &mut [S],
    da: &mut [S],
    db: &mut [S],
) {
    let Shape { rows, inputs, outputs, rank } = shape;
    let (x, z, dy) = (Matrix::new(x, rows, inputs), Matrix::new(z, rows, rank), Matrix::new(dy, rows, outputs));
    S::matmul(dz, dy, Matrix::new(b, outputs, rank), scale, Store::Set);
    S::matmul(da, Matrix::new(dz, rows, rank).t(), x, S::ONE, Store::Add);
    S::matmul(db, dy.t(), z, scale, Store::Add);
}

/// `dx` (N, I) (+)= dy W + dz A − s (dy B₀) A₀, with `dz` from [`backward_adapter`]. Without `a`, dz A is left out: the gradient of a masked input.
///
/// # Panics
/// If a slice does not have the size that `shape` defines.
pub fn backward_input<S: Scalar>(
    shape: Shape,
    dy: &[S],
    dz: &[S],
    w: Weights<'_, S>,
    a: Option<&[S]>,
    frozen: Option<Pair<'_, S>>,
    scale: S,
    dx: &mut [S],
    store: Store,
    scratch: &mut Scratch<S>,
) {
    let Shape { rows, inputs, outputs, rank } = shape;
    let frozen_size = if frozen.is_some() { rows * rank } else { 0 };
    let (weights, [frozen_dz]) = scratch.split([frozen_size]);
    linear::backward_input(shape.base(), dy, w, dx, store, Threads::One, weights);
    if let Some(a) = a {
        S::matmul(dx, Matrix::new(dz, rows, rank), Matrix::new(a, rank, inputs), S::ONE, Store::Add);
    }
    if let Some(frozen) = frozen {
        let (dy, b) = (Matrix::new(dy, rows, outputs), Matrix::new(frozen.b, outputs, rank));
        S::matmul(frozen_dz, dy, b, S::ONE, Store::Set);
        S::matmul(dx, Matrix::new(frozen_dz, rows, rank), Matrix::new(frozen.a, rank, inputs), -scale, Store::Add);
    }
}

/// `z` (N, R) = x Aᵀ.
fn down<S: Scalar>(shape: Shape, x: &[S], a: &[S], z: &mut [S]) {
    let Shape { rows, inputs, rank, .. } = shape;
    S::matmul(z, Matrix::new(x, rows, inputs), Matrix::new(a, rank, inputs).t(), S::ONE, Store::Set);
}

/// `y` (N, O) (+)= alpha · z Bᵀ.
fn up<S: Scalar>(shape: Shape, z: &[S], b: &[S], alpha: S, y: &mut [S], store: Store) {
    let Shape { rows, outputs, rank, .. } = shape;
    S::matmul(y, Matrix::new(z, rows, rank), Matrix::new(b, outputs, rank).t(), alpha, store);
}

impl Shape {
    /// The sizes of the layer without its adapter.
    fn base(self) -> linear::Shape {
        linear::Shape { rows: self.rows, inputs: self.inputs, outputs: self.outputs }
    }
}
