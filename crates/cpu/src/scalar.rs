//! The number type of a computation.

use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, Par};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::simd::vectorize;
use crate::{Matrix, Store, cholesky, exponential::exp, hyperbolic, normal, orthonormal};

/// The number type of a kernel: `f32`, `f64`, [`Tracked`](crate::Tracked) or [`Dual`](crate::Dual).
pub trait Scalar:
    Copy
    + Debug
    + Default
    + PartialEq
    + PartialOrd
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
{
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;

    /// The nearest value to `x`.
    fn from_f64(x: f64) -> Self;
    /// Exactly `x`.
    fn from_f32(x: f32) -> Self;
    /// The value, without an error bound or tangent.
    fn to_f64(self) -> f64;

    /// |x|.
    #[must_use]
    fn abs(self) -> Self;
    /// √x.
    #[must_use]
    fn sqrt(self) -> Self;
    /// 1/√x.
    #[must_use]
    fn inverse_sqrt(self) -> Self {
        Self::ONE / self.sqrt()
    }
    /// eˣ. In `f32` it is free of branches and calls, so that loops over it are vectorised; see [`exp_in_place`](Self::exp_in_place).
    #[must_use]
    fn exp(self) -> Self;
    /// The natural logarithm.
    #[must_use]
    fn ln(self) -> Self;
    /// The hyperbolic tangent. In `f32` it is free of branches and calls, so that loops over it are vectorised.
    #[must_use]
    fn tanh(self) -> Self;
    /// Φ(x) and φ(x): the standard normal's distribution function and density. In `f32` free of branches and calls.
    #[must_use]
    fn normal(self) -> (Self, Self);
    /// The larger of the two; `other` if one of them is NaN.
    #[must_use]
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        if self > other { self } else { other }
    }
    /// True if the value is neither infinite nor NaN.
    fn is_finite(self) -> bool;

    /// Replaces every element by its [`exp`](Self::exp), with the same bits.
    fn exp_in_place(x: &mut [Self]) {
        for x in x {
            *x = x.exp();
        }
    }

    /// The matrix product: `out = alpha · lhs · rhs`, or the same added to `out`. `lhs` is (m, k), `rhs` (k, n) and
    /// `out` (m, n) row-major. Its bits depend on the operands only.
    ///
    /// # Panics
    /// If the shapes do not fit together.
    fn matmul(out: &mut [Self], lhs: Matrix<'_, Self>, rhs: Matrix<'_, Self>, alpha: Self, store: Store) {
        Self::matmul_by(Threads::One, out, lhs, rhs, alpha, store);
    }

    /// The same as [`matmul`](Self::matmul), with the same bits, on these threads.
    ///
    /// # Panics
    /// If the shapes do not fit together.
    fn matmul_by(
        threads: Threads,
        out: &mut [Self],
        lhs: Matrix<'_, Self>,
        rhs: Matrix<'_, Self>,
        alpha: Self,
        store: Store,
    );

    /// M ← (M + ε I)⁻¹ for a symmetric M, (n, n) row-major, without negative eigenvalues, and ε > 0, by Cholesky factorisation.
    fn inverse(m: &mut [Self], order: usize, epsilon: Self) {
        cholesky::inverse(m, order, epsilon);
    }

    /// Makes the rows in `rows`, each `width` wide, orthonormal, as [`orthonormal::forward`] does.
    fn orthonormalise(rows: &mut [Self], width: usize) {
        orthonormal::gram_schmidt(rows, width);
    }

    /// `source` itself if this scalar is `f32`, else `None`.
    fn borrow_f32(_source: &[f32]) -> Option<&[Self]> {
        None
    }
    /// Converts `source`, element by element, into `out` of the same length.
    fn decode_f32(source: &[f32], out: &mut [Self]) {
        for (out, &x) in out.iter_mut().zip(source) {
            *out = Self::from_f32(x);
        }
    }
    /// Converts `source`, element by element, into `out` of the same length.
    fn decode_f16(source: &[f16], out: &mut [Self]) {
        for (out, &x) in out.iter_mut().zip(source) {
            *out = Self::from_f32(x.to_f32());
        }
    }
    /// Converts `source`, element by element, into `out` of the same length.
    fn decode_bf16(source: &[bf16], out: &mut [Self]) {
        for (out, &x) in out.iter_mut().zip(source) {
            *out = Self::from_f32(x.to_f32());
        }
    }
}

/// The threads that compute the parts of a large product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// Only the caller's thread.
    One,
    /// All threads of the pool that the caller is in, if any. A thread that waits for a part runs other work of the pool meanwhile, so use this only if there is none.
    Idle,
}

/// Panics unless (m, k) · (k, n) fits `out`.
pub(crate) fn check_product<S>(out: &[S], lhs: &Matrix<'_, S>, rhs: &Matrix<'_, S>) {
    assert_eq!(lhs.cols(), rhs.rows(), "the inner sizes of a matrix product must be equal");
    assert_eq!(
        out.len(),
        lhs.rows() * rhs.cols(),
        "the output of a matrix product must be (rows of lhs, columns of rhs)"
    );
}

/// The matrix product by faer.
fn faer_matmul<S: faer::traits::ComplexField + Copy>(
    threads: Threads,
    out: &mut [S],
    lhs: Matrix<'_, S>,
    rhs: Matrix<'_, S>,
    alpha: S,
    store: Store,
) {
    check_product(out, &lhs, &rhs);
    let out = MatMut::from_row_major_slice_mut(out, lhs.rows(), rhs.cols());
    let accum = match store {
        Store::Set => Accum::Replace,
        Store::Add => Accum::Add,
    };
    in_parts(threads, out, lhs.into(), rhs.into(), &|out, lhs, rhs| matmul(out, accum, lhs, rhs, alpha, Par::Seq));
}

/// Minimum multiplications in a part of a product, so that the cost of handing it to another thread is small.
const PART: usize = 1 << 23;

/// Columns that fill the register tiles of every instruction set: 96 with AVX-512, a divisor of it with the others. Narrower parts take up to twice as long.
const TILE: usize = 96;

/// Splits a product by halving its columns recursively, at a multiple of [`TILE`], and calls `product` for each part. The parts depend only on the shape.
fn in_parts<S: Send + Sync>(
    threads: Threads,
    out: MatMut<'_, S>,
    lhs: faer::MatRef<'_, S>,
    rhs: faer::MatRef<'_, S>,
    product: &(impl Fn(MatMut<'_, S>, faer::MatRef<'_, S>, faer::MatRef<'_, S>) + Sync),
) {
    let columns = rhs.ncols();
    if columns <= TILE || lhs.nrows() * lhs.ncols() * columns < 2 * PART {
        return product(out, lhs, rhs);
    }
    let middle = (columns / 2).next_multiple_of(TILE);
    let (left, right) = out.split_at_col_mut(middle);
    let (rhs_left, rhs_right) = rhs.split_at_col(middle);
    let one = || in_parts(threads, left, lhs, rhs_left, product);
    let other = || in_parts(threads, right, lhs, rhs_right, product);
    both(threads, one, other);
}

/// Calls both closures, in parallel if `threads` allows.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn both(threads: Threads, one: impl FnOnce() + Send, other: impl FnOnce() + Send) {
    if threads == Threads::Idle && rayon::current_thread_index().is_some() {
        rayon::join(one, other);
    } else {
        one();
        other();
    }
}

/// Calls both closures, on the one thread of a browser's worker.
#[cfg(target_family = "wasm")]
pub(crate) fn both(_: Threads, one: impl FnOnce(), other: impl FnOnce()) {
    one();
    other();
}

impl Scalar for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        x as f32
    }
    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        x
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self.into()
    }
    #[inline(always)]
    fn abs(self) -> Self {
        self.abs()
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.sqrt()
    }
    #[inline(always)]
    fn exp(self) -> Self {
        exp(self)
    }
    #[inline(always)]
    fn ln(self) -> Self {
        self.ln()
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        hyperbolic::tanh(self)
    }
    #[inline(always)]
    fn normal(self) -> (Self, Self) {
        normal::normal(self)
    }
    #[inline(always)]
    fn is_finite(self) -> bool {
        self.is_finite()
    }

    fn exp_in_place(x: &mut [Self]) {
        vectorize(
            #[inline(always)]
            || {
                for x in x {
                    *x = exp(*x);
                }
            },
        );
    }

    fn matmul_by(
        threads: Threads,
        out: &mut [Self],
        lhs: Matrix<'_, Self>,
        rhs: Matrix<'_, Self>,
        alpha: Self,
        store: Store,
    ) {
        faer_matmul(threads, out, lhs, rhs, alpha, store);
    }

    fn borrow_f32(source: &[f32]) -> Option<&[Self]> {
        Some(source)
    }
    fn decode_f16(source: &[f16], out: &mut [Self]) {
        source.convert_to_f32_slice(out);
    }
    fn decode_bf16(source: &[bf16], out: &mut [Self]) {
        vectorize(|| {
            for (out, x) in out.iter_mut().zip(source) {
                *out = f32::from_bits(u32::from(x.to_bits()) << 16);
            }
        });
    }
}

impl Scalar for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        x
    }
    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        x.into()
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn abs(self) -> Self {
        self.abs()
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.sqrt()
    }
    #[inline(always)]
    fn exp(self) -> Self {
        self.exp()
    }
    #[inline(always)]
    fn ln(self) -> Self {
        self.ln()
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        self.tanh()
    }
    #[inline(always)]
    fn normal(self) -> (Self, Self) {
        let scaled = self * std::f64::consts::FRAC_1_SQRT_2;
        let density =
            (-scaled * scaled).exp() * (std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2 / 2.0);
        (0.5 * libm::erfc(-scaled), density)
    }
    #[inline(always)]
    fn is_finite(self) -> bool {
        self.is_finite()
    }

    fn matmul_by(
        threads: Threads,
        out: &mut [Self],
        lhs: Matrix<'_, Self>,
        rhs: Matrix<'_, Self>,
        alpha: Self,
        store: Store,
    ) {
        faer_matmul(threads, out, lhs, rhs, alpha, store);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares with the plain triple loop.
    fn check_matmul<S: Scalar>(tolerance: f64) {
        for (m, n, k) in [(1, 1, 1), (3, 5, 7), (2, 3, 0), (0, 3, 2), (33, 17, 65)] {
            let number = |i: usize| S::from_f64((i * 7919 % 113) as f64 / 64.0 - 0.75);
            let lhs: Vec<S> = (0..m * k).map(number).collect();
            let rhs: Vec<S> = (0..n * k).map(|i| number(i + 5)).collect();
            let alpha = S::from_f64(0.5);
            let mut set = vec![S::from_f64(f64::NAN); m * n];
            let mut added = vec![S::ONE; m * n];
            let (left, right) = (Matrix::new(&lhs, k, m).t(), Matrix::new(&rhs, k, n));
            S::matmul(&mut set, left, right, alpha, Store::Set);
            S::matmul(&mut added, left, right, alpha, Store::Add);
            for row in 0..m {
                for col in 0..n {
                    let expected: f64 =
                        (0..k).map(|i| 0.5 * left.at(row, i).to_f64() * right.at(i, col).to_f64()).sum();
                    assert!((set[row * n + col].to_f64() - expected).abs() <= tolerance * (k + 1) as f64);
                    assert!((added[row * n + col].to_f64() - expected - 1.0).abs() <= tolerance * (k + 1) as f64);
                }
            }
        }
    }

    #[test]
    fn matrix_products_equal_their_definition() {
        check_matmul::<f32>(1e-6);
        check_matmul::<f64>(1e-14);
        check_matmul::<crate::Tracked>(1e-14);
        check_matmul::<crate::Dual>(1e-14);
    }

    /// A product that is large enough to be split, with an odd number of columns.
    #[test]
    fn the_parts_of_a_large_product_are_its_own_whoever_makes_them() {
        let (m, k, n) = (3, 2048, 2 * PART / (3 * 2048) + 7);
        let number = |i: usize| (i * 7919 % 113) as f32 / 64.0 - 0.75;
        let (lhs, rhs): (Vec<f32>, Vec<f32>) = ((0..m * k).map(number).collect(), (0..n * k).map(number).collect());
        for right in [Matrix::new(&rhs, k, n), Matrix::new(&rhs, n, k).t()] {
            let left = Matrix::new(&lhs, m, k);
            let product = || {
                let mut out = vec![f32::NAN; m * n];
                f32::matmul_by(Threads::Idle, &mut out, left, right, 0.5, Store::Set);
                out
            };
            let mut alone = vec![f32::NAN; m * n];
            f32::matmul(&mut alone, left, right, 0.5, Store::Set);
            assert!(product() == alone, "in no pool");
            for threads in [2, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
                assert!(pool.install(product) == alone, "{threads} threads");
            }
            for (place, found) in alone.iter().enumerate().step_by(97) {
                let (row, col) = (place / n, place % n);
                let term = |i: usize| 0.5 * f64::from(lhs[row * k + i]) * f64::from(right.at(i, col));
                let exact: f64 = (0..k).map(term).sum();
                assert!((f64::from(*found) - exact).abs() < 1e-3, "({row}, {col}): {found} and {exact}");
            }
        }
    }
}
