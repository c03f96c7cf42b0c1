//! Dual numbers: values with derivatives.

use std::cmp::Ordering;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

use crate::scalar::check_product;
use crate::{Matrix, Scalar, Store, Threads};

/// A value in `f64` and its derivative along one direction of the inputs: forward differentiation, exact up to `f64` rounding (Griewank and Walther 2008,
/// *Evaluating Derivatives*, §3.1).
///
/// A backward pass on `Dual` yields the gradient g and the product H v of the Hessian with the direction v, which is given by the inputs' tangents: forward
/// over reverse (Pearlmutter 1994, *Fast exact multiplication by the Hessian*, Neural Computation 6; Griewank and Walther, §5.4).
///
/// Comparisons use only the value, so the derivative is that of the branch that the value takes; at a kink that is one of two derivatives.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dual {
    /// The value.
    pub value: f64,
    /// Its derivative along the direction.
    pub tangent: f64,
}

impl Dual {
    /// f(x), given the value and the derivative of f at x (chain rule).
    #[inline(always)]
    fn chain(self, value: f64, derivative: f64) -> Self {
        // A zero tangent stays zero even if the derivative is infinite, as that of √x is at 0.
        let tangent = if self.tangent == 0.0 { 0.0 } else { derivative * self.tangent };
        Self { value, tangent }
    }
}

impl PartialEq for Dual {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl PartialOrd for Dual {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.value.partial_cmp(&other.value)
    }
}

impl Add for Dual {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self { value: self.value + other.value, tangent: self.tangent + other.tangent }
    }
}

impl Sub for Dual {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self { value: self.value - other.value, tangent: self.tangent - other.tangent }
    }
}

impl Mul for Dual {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        let tangent = self.tangent * other.value + self.value * other.tangent;
        Self { value: self.value * other.value, tangent }
    }
}

impl Div for Dual {
    type Output = Self;
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        let value = self.value / other.value;
        Self { value, tangent: (self.tangent - value * other.tangent) / other.value }
    }
}

impl Neg for Dual {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self { value: -self.value, tangent: -self.tangent }
    }
}

impl AddAssign for Dual {
    #[inline(always)]
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Dual {
    #[inline(always)]
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl MulAssign for Dual {
    #[inline(always)]
    fn mul_assign(&mut self, other: Self) {
        *self = *self * other;
    }
}

impl Scalar for Dual {
    const ZERO: Self = Self { value: 0.0, tangent: 0.0 };
    const ONE: Self = Self { value: 1.0, tangent: 0.0 };

    fn from_f64(x: f64) -> Self {
        Self { value: x, tangent: 0.0 }
    }
    fn from_f32(x: f32) -> Self {
        Self::from_f64(x.into())
    }
    fn to_f64(self) -> f64 {
        self.value
    }
    fn abs(self) -> Self {
        self.chain(self.value.abs(), self.value.signum())
    }
    fn sqrt(self) -> Self {
        let root = self.value.sqrt();
        self.chain(root, 0.5 / root)
    }
    fn exp(self) -> Self {
        let value = self.value.exp();
        self.chain(value, value)
    }
    fn ln(self) -> Self {
        self.chain(self.value.ln(), 1.0 / self.value)
    }
    fn tanh(self) -> Self {
        let value = self.value.tanh();
        self.chain(value, 1.0 - value * value)
    }
    fn is_finite(self) -> bool {
        self.value.is_finite() && self.tangent.is_finite()
    }

    /// Up to three products of values and tangents in `f64`; products with all-zero tangents are skipped.
    fn matmul_by(
        threads: Threads,
        out: &mut [Self],
        lhs: Matrix<'_, Self>,
        rhs: Matrix<'_, Self>,
        alpha: Self,
        store: Store,
    ) {
        check_product(out, &lhs, &rhs);
        let (rows, inner, columns) = (lhs.rows(), lhs.cols(), rhs.cols());
        let ([left, left_tangent], [right, right_tangent]) = (parts(&lhs), parts(&rhs));
        let (left, right) = (Matrix::new(&left, rows, inner), Matrix::new(&right, inner, columns));
        let mut value = vec![0.0; out.len()];
        f64::matmul_by(threads, &mut value, left, right, 1.0, Store::Set);
        let mut tangent = vec![0.0; out.len()];
        if left_tangent.iter().any(|&x| x != 0.0) {
            let left_tangent = Matrix::new(&left_tangent, rows, inner);
            f64::matmul_by(threads, &mut tangent, left_tangent, right, 1.0, Store::Add);
        }
        if right_tangent.iter().any(|&x| x != 0.0) {
            let right_tangent = Matrix::new(&right_tangent, inner, columns);
            f64::matmul_by(threads, &mut tangent, left, right_tangent, 1.0, Store::Add);
        }
        for (out, (&value, &tangent)) in out.iter_mut().zip(value.iter().zip(&tangent)) {
            store.put(out, alpha * Self { value, tangent });
        }
    }
}

/// The values and the tangents of a matrix, row-major.
fn parts(matrix: &Matrix<'_, Dual>) -> [Vec<f64>; 2] {
    let entries = || (0..matrix.rows()).flat_map(|row| (0..matrix.cols()).map(move |column| matrix.at(row, column)));
    [entries().map(|x| x.value).collect(), entries().map(|x| x.tangent).collect()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `f` of x + 0.7 t and its derivative in t at 0, against five-point differences.
    fn check(name: &str, x: f64, f: impl Fn(Dual) -> Dual) {
        let found = f(Dual { value: x, tangent: 0.7 });
        let at = |t: f64| f(Dual::from_f64(x + 0.7 * t)).value;
        let h = 1e-3;
        let expected = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
        assert_eq!(found.value, at(0.0), "{name}");
        assert!((found.tangent - expected).abs() < 1e-9 * expected.abs().max(1.0), "{name}: {found:?}, {expected}");
    }

    #[test]
    fn tangents_are_derivatives() {
        let two = Dual::from_f64(2.0);
        for x in [0.3, 1.7] {
            check("polynomial", x, |x| x * x * x - two * x + -x);
            check("quotient", x, |x| (x + two) / (x * x + Dual::ONE));
            check("root", x, |x| x.sqrt() + x.inverse_sqrt());
            check("exponential", x, |x| x.exp() * x.ln());
            check("hyperbolic", x, |x| x.tanh());
            check("size", x, |x| (x - two).abs());
            check("larger", x, |x| (x * x).max(Dual::ONE));
            check("in place", x, |x| {
                let mut y = x;
                y += x * x;
                y *= x;
                y -= two;
                y
            });
        }
        assert!(!Dual { value: 1.0, tangent: f64::NAN }.is_finite() && Dual::ZERO.sqrt().is_finite());
    }

    #[test]
    fn a_product_has_the_derivative_of_the_product() {
        let number = |seed: usize, i: usize| ((i * 7919 + seed * 101) % 113) as f64 / 56.0 - 1.0;
        let draw = |seed: usize, count: usize, moves: bool| -> Vec<Dual> {
            let tangent = |i| if moves { number(seed + 5, i) } else { 0.0 };
            (0..count).map(|i| Dual { value: number(seed, i), tangent: tangent(i) }).collect()
        };
        let (m, k, n) = (3, 5, 4);
        for (left_moves, right_moves) in [(true, true), (true, false), (false, true), (false, false)] {
            let (left, right) = (draw(1, m * k, left_moves), draw(2, n * k, right_moves));
            let alpha = Dual { value: 0.5, tangent: 0.25 };
            let before = draw(3, m * n, true);
            let mut out = before.clone();
            let (left, right) = (Matrix::new(&left, m, k), Matrix::new(&right, n, k).t());
            Dual::matmul(&mut out, left, right, alpha, Store::Add);
            for (place, found) in out.iter().enumerate() {
                let (row, column) = (place / n, place % n);
                let mut sum = Dual::ZERO;
                (0..k).for_each(|i| sum += left.at(row, i) * right.at(i, column));
                let expected = before[place] + alpha * sum;
                let off = (found.value - expected.value).abs() + (found.tangent - expected.tangent).abs();
                assert!(off < 1e-14, "{place}: {found:?} and {expected:?}");
            }
        }
    }
}
