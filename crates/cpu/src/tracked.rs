//! A number with a bound on its error in `f32` arithmetic.

use std::cmp::Ordering;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

use crate::scalar::check_product;
use crate::{Matrix, Scalar, Store, Threads, cholesky, hyperbolic, normal, orthonormal};

/// The largest unit in the last place of an `f32`, relative to its value: 2⁻²³.
const ULP: f64 = f32::EPSILON as f64;
/// The smallest normal `f32`: the bound on the error of flushing a subnormal to zero.
const TINY: f64 = f32::MIN_POSITIVE as f64;

/// A value computed in `f64`, and a bound on |the result of `f32` arithmetic on any device − the exact value|.
///
/// A kernel run on `Tracked` yields the exact result and the tolerance within which every device's result must lie. The bound
/// follows the *WGSL specification, section "Accuracy of Built-in Functions"* (floating-point evaluation): `+ − ×` are correctly rounded, `/` is
/// within 2.5 units in the last place (ULP), `inverseSqrt` 2, `sqrt` inherits from `1 / inverseSqrt`, `exp` is within
/// 3 + 2·|x| ULP, `log` within 2⁻²¹ on [0.5, 2] and 3 ULP elsewhere; subnormal operands and results may be flushed to
/// zero. "Correctly rounded" is interpreted as round-to-nearest, half a ULP: WGSL does not specify the direction, every
/// device rounds to nearest, and the narrower bound detects more. Fused multiply-add only reduces errors.
///
/// The bound of a sum in a fixed order may be too small for a device's order; [`Scalar::matmul`] and [`Tracked::dot`]
/// bound every order. An error of ∞ means that there is no bound: the value overflows `f32`, or a divisor may be zero.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tracked {
    /// The value, exact up to `f64` rounding.
    pub value: f64,
    /// The bound on the absolute error of `f32` arithmetic.
    pub error: f64,
}

impl Tracked {
    /// The result `value` of an operation that is accurate to `ulps` units in the last place, with operands whose errors
    /// change it by at most `inherited`.
    #[inline]
    fn rounded(value: f64, inherited: f64, ulps: f64) -> Self {
        let largest = value.abs() + inherited;
        let error = inherited + ulps * ULP * largest + largest.min(TINY);
        // NaN compares false, so its error is infinite.
        let bounded = largest + error <= f64::from(f32::MAX);
        Self { value, error: if bounded { error } else { f64::INFINITY } }
    }

    /// The error of this number as an operand; a device may flush it to zero if it is subnormal.
    #[inline]
    fn operand_error(self) -> f64 {
        if self.value.abs() - self.error < TINY {
            self.error + (self.value.abs() + self.error).min(TINY)
        } else {
            self.error
        }
    }

    /// The largest magnitude the number may have on a device.
    #[inline]
    fn largest(self) -> f64 {
        self.value.abs() + self.error
    }

    /// `start + alpha · Σ xᵢ wᵢ`, with a bound for every order of summation and every point at which `alpha` is multiplied:
    /// with n operations in a chain, |error| ≤ γₙ · Σ |terms|, γₙ = n·u / (1 − n·u), u = 2⁻²⁴ (Higham, *Accuracy and
    /// Stability of Numerical Algorithms*, §3.1).
    pub fn dot(start: Self, alpha: Self, terms: impl Iterator<Item = (Self, Self)>) -> Self {
        let (mut value, mut largest, mut inherited, mut count) = (0.0, 0.0, 0.0, 0.0);
        for (x, w) in terms {
            let (x_error, w_error) = (x.operand_error(), w.operand_error());
            value += x.value * w.value;
            largest += (x.value.abs() + x_error) * (w.value.abs() + w_error);
            inherited += x.value.abs() * w_error + w.value.abs() * x_error + x_error * w_error;
            count += 1.0;
        }
        let alpha_error = alpha.operand_error();
        let scaled = (alpha.value.abs() + alpha_error) * largest;
        let inherited = alpha.value.abs() * inherited + alpha_error * largest + start.operand_error();
        let total = scaled + start.largest();
        // A product and a sum per term, plus the factor alpha and the start.
        let chain = (count + 2.0) * ULP / 2.0;
        let rounding = chain / (1.0 - chain) * total;
        let flushed = (2.0 * count + 2.0) * TINY * (alpha.value.abs() + alpha_error).max(1.0);
        // If every term is zero, nothing is rounded or flushed.
        let own = if total == 0.0 { 0.0 } else { rounding + flushed };
        let error = inherited + own;
        let bounded = chain < 1.0 && total + error <= f64::from(f32::MAX);
        Self { value: start.value + alpha.value * value, error: if bounded { error } else { f64::INFINITY } }
    }
}

impl PartialEq for Tracked {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl PartialOrd for Tracked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.value.partial_cmp(&other.value)
    }
}

impl Add for Tracked {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::rounded(self.value + other.value, self.operand_error() + other.operand_error(), 0.5)
    }
}

impl Sub for Tracked {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for Tracked {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let (a, b) = (self.operand_error(), other.operand_error());
        Self::rounded(self.value * other.value, self.value.abs() * b + other.value.abs() * a + a * b, 0.5)
    }
}

impl Div for Tracked {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let value = self.value / other.value;
        // The smallest magnitude that the divisor may have; if it is NaN or not positive, the bound is infinite.
        let divisor = other.value.abs() - other.operand_error();
        if divisor > 0.0 {
            Self::rounded(value, (self.operand_error() + value.abs() * other.operand_error()) / divisor, 2.5)
        } else {
            Self { value, error: f64::INFINITY }
        }
    }
}

impl Neg for Tracked {
    type Output = Self;
    fn neg(self) -> Self {
        Self { value: -self.value, error: self.error }
    }
}

impl AddAssign for Tracked {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Tracked {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl MulAssign for Tracked {
    fn mul_assign(&mut self, other: Self) {
        *self = *self * other;
    }
}

impl Scalar for Tracked {
    const ZERO: Self = Self { value: 0.0, error: 0.0 };
    const ONE: Self = Self { value: 1.0, error: 0.0 };

    /// `x`; a device stores it rounded to `f32`.
    fn from_f64(x: f64) -> Self {
        Self { value: x, error: (f64::from(x as f32) - x).abs() }
    }
    fn from_f32(x: f32) -> Self {
        Self { value: x.into(), error: 0.0 }
    }
    fn to_f64(self) -> f64 {
        self.value
    }
    fn abs(self) -> Self {
        Self { value: self.value.abs(), error: self.error }
    }
    /// `sqrt` inherits from `1 / inverseSqrt`: (1 + 2 ULP)(1 + 2.5 ULP) < 1 + 5 ULP.
    fn sqrt(self) -> Self {
        let value = self.value.sqrt();
        Self::rounded(value, value - (self.value - self.operand_error()).max(0.0).sqrt(), 5.0)
    }
    fn inverse_sqrt(self) -> Self {
        let value = 1.0 / self.value.sqrt();
        Self::rounded(value, 1.0 / (self.value - self.operand_error()).max(0.0).sqrt() - value, 2.0)
    }
    fn exp(self) -> Self {
        let value = self.value.exp();
        Self::rounded(value, value * self.operand_error().exp_m1(), 3.0 + 2.0 * self.largest())
    }
    fn ln(self) -> Self {
        let value = self.value.ln();
        let inherited = -(-self.operand_error() / self.value).ln_1p();
        // An argument near the ends of [0.5, 2] may be outside on the device; the larger bound is used.
        let near_one = self.value + self.error >= 0.5 && self.value - self.error <= 2.0;
        let inherited = if near_one { inherited + 4.0 * ULP } else { inherited };
        Self::rounded(value, inherited, 3.0)
    }
    fn tanh(self) -> Self {
        let of = |value| Self { value, error: self.error };
        let off = |formula: Self, exact: f64| formula.error + (formula.value - exact).abs();
        Self { value: self.value.tanh(), error: hyperbolic::error(self.value, self.error, of, off) }
    }
    /// The bounds of `normal::normal`'s formula.
    fn normal(self) -> (Self, Self) {
        let meant =
            |formula: Self, exact: f64| Self { value: exact, error: formula.error + (formula.value - exact).abs() };
        let ((share, density), exact) = (normal::normal(self), self.value.normal());
        (meant(share, exact.0), meant(density, exact.1))
    }
    fn max(self, other: Self) -> Self {
        let larger = if self.value > other.value { self } else { other };
        // The device may choose the other one if the two are close.
        Self { value: larger.value, error: self.error.max(other.error) }
    }
    fn is_finite(self) -> bool {
        self.value.abs() <= f64::from(f32::MAX)
    }

    fn inverse(m: &mut [Self], order: usize, epsilon: Self) {
        cholesky::bounded_inverse(m, order, epsilon);
    }

    fn orthonormalise(rows: &mut [Self], width: usize) {
        orthonormal::bounded(rows, width);
    }

    fn matmul_by(
        _: Threads,
        out: &mut [Self],
        lhs: Matrix<'_, Self>,
        rhs: Matrix<'_, Self>,
        alpha: Self,
        store: Store,
    ) {
        check_product(out, &lhs, &rhs);
        let cols = rhs.cols();
        for (index, out) in out.iter_mut().enumerate() {
            let (row, col) = (index / cols, index % cols);
            let start = match store {
                Store::Set => Self::ZERO,
                Store::Add => *out,
            };
            *out = Self::dot(start, alpha, (0..lhs.cols()).map(|k| (lhs.at(row, k), rhs.at(k, col))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(x: f32) -> Tracked {
        Tracked::from_f32(x)
    }

    /// True if the bound allows the value `device`.
    fn allows(tracked: Tracked, device: f32) -> bool {
        (f64::from(device) - tracked.value).abs() <= tracked.error
    }

    #[test]
    fn inputs_and_zeros_are_exact() {
        assert_eq!(exact(0.1).error, 0.0);
        assert_eq!(Tracked::from_f64(0.5).error, 0.0);
        assert!(Tracked::from_f64(0.1).error > 0.0);
        assert_eq!((exact(0.0) * exact(3.7)).error, 0.0);
        assert_eq!((exact(0.0) / exact(1e-8)).error, 0.0);
        assert_eq!((exact(0.0) + exact(0.0)).error, 0.0);
        assert_eq!(Tracked::dot(exact(0.0), exact(2.0), [(exact(0.0), exact(3.0))].into_iter()).error, 0.0);
    }

    #[test]
    fn the_bound_holds_and_is_not_idle() {
        // A long chain of operations whose f32 result is far from exact.
        let (mut device, mut tracked) = (1.0_f32, exact(1.0));
        for i in 1..200 {
            let x = 0.1 * i as f32;
            device = (device * x + x.exp()) / (1.0 + x * x).sqrt() - device.abs().ln();
            device = device.clamp(0.2, 50.0);
            let next = (tracked * exact(x) + exact(x).exp()) / (exact(1.0) + exact(x) * exact(x)).sqrt() - tracked.ln();
            tracked = if next.value > 50.0 {
                exact(50.0)
            } else if next.value < 0.2 {
                exact(0.2)
            } else {
                next
            };
            assert!(allows(tracked, device), "step {i}: {device} is not within {tracked:?}");
        }
        let sum = exact(1.0) + exact(1e-8);
        assert!(allows(sum, 1.0) && !allows(sum, 1.0 + 2.0 * f32::EPSILON));
    }

    #[test]
    fn a_dot_product_allows_every_order() {
        let terms: Vec<f32> = (0..1000).map(|i| ((i * 7919) % 1009) as f32 - 504.3).collect();
        let tracked = Tracked::dot(exact(0.0), exact(1.0), terms.iter().map(|&x| (exact(x), exact(1.0 / 3.0))));
        let forwards = terms.iter().fold(0.0_f32, |sum, x| sum + x / 3.0);
        let backwards = terms.iter().rev().fold(0.0_f32, |sum, x| sum + x / 3.0);
        let fused = terms.iter().fold(0.0_f32, |sum, x| x.mul_add(1.0 / 3.0, sum));
        assert!(allows(tracked, forwards) && allows(tracked, backwards) && allows(tracked, fused));
        assert_ne!(forwards, backwards);
        let absolute: f32 = terms.iter().map(|x| x.abs() / 3.0).sum();
        assert!(tracked.error < 1e-3 * f64::from(absolute), "{tracked:?} bounds nothing");
    }

    #[test]
    fn flushing_is_allowed_and_overflow_is_unbounded() {
        let subnormal = exact(1e-30) * exact(1e-10);
        assert!(allows(subnormal, 0.0) && allows(subnormal, 1e-40));
        assert!(allows(exact(1e-40) * exact(1e30), 0.0));
        assert_eq!((exact(1e30) * exact(1e30)).error, f64::INFINITY);
        assert_eq!(exact(100.0).exp().error, f64::INFINITY);
        assert_eq!((exact(1.0) / exact(0.0)).error, f64::INFINITY);
        assert_eq!((exact(1.0) / (exact(1.0) - exact(1.0) + exact(1e-40))).error, f64::INFINITY);
    }

    #[test]
    fn roots_exponentials_and_logarithms_have_the_accuracy_wgsl_grants() {
        let ulps = |x: Tracked| x.error / x.value.abs() / ULP;
        assert!((ulps(exact(2.0).sqrt()) - 5.0).abs() < 1e-6);
        assert!((ulps(exact(2.0).inverse_sqrt()) - 2.0).abs() < 1e-6);
        assert!((ulps(exact(2.0) / exact(3.0)) - 2.5).abs() < 1e-6);
        assert!((ulps(exact(-3.0).exp()) - 9.0).abs() < 1e-6);
        assert!((ulps(exact(9.0).ln()) - 3.0).abs() < 1e-6);
        assert!(exact(1.0).ln().error >= 1.0 / f64::from(1 << 21));
    }
}
