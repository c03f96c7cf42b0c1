//! GELU, the Gaussian error linear unit: Hendrycks and Gimpel 2016, arXiv 1606.08415.

use crate::simd::vectorize;
use crate::{Scalar, Store};

/// The two functions that models call GELU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// x · Φ(x), with the normal distribution function Φ: `gelu` of transformers (BERT).
    Erf,
    /// x · (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2: `gelu_new` and `gelu_pytorch_tanh` of transformers (GPT-2, Gemma).
    Tanh,
}

/// y = GELU(x), element by element.
///
/// # Panics
/// If the slices are not of equal length.
pub fn forward<S: Scalar>(form: Form, x: &[S], y: &mut [S]) {
    assert_eq!(x.len(), y.len(), "x and y must be of equal length");
    match form {
        Form::Erf => map(x, y, erf),
        Form::Tanh => map(x, y, tanh),
    }
}

/// dx (+)= dy · GELU′(x), element by element.
///
/// # Panics
/// If the slices are not of equal length.
pub fn backward<S: Scalar>(form: Form, x: &[S], dy: &[S], dx: &mut [S], store: Store) {
    assert!(x.len() == dy.len() && x.len() == dx.len(), "x, dy and dx must be of equal length");
    match form {
        Form::Erf => map_backward(x, dy, dx, store, erf),
        Form::Tanh => map_backward(x, dy, dx, store, tanh),
    }
}

/// GELU and its derivative by the normal distribution: x Φ(x), and Φ(x) + x φ(x).
#[inline(always)]
pub(crate) fn erf<S: Scalar>(x: S) -> (S, S) {
    let (share, density) = x.normal();
    (x * share, share + x * density)
}

/// GELU and its derivative by the hyperbolic tangent, written with the logistic function: (1 + tanh u) / 2 = σ(2u), whose small values keep their relative
/// precision. 2u = x (a + b x²) with a = 2 √(2/π) and b = 0.044715 a.
#[inline(always)]
pub(crate) fn tanh<S: Scalar>(x: S) -> (S, S) {
    let (a, b) = (S::from_f64(1.595_769_121_605_731), S::from_f64(0.071_354_816_272_600_25));
    let square = b * (x * x);
    // If the power overflows, σ is 0, as it should be.
    let sigmoid = S::ONE / (S::ONE + (-(x * (a + square))).exp());
    let slope = a + (square + square + square);
    (x * sigmoid, sigmoid * (S::ONE + x * ((S::ONE - sigmoid) * slope)))
}

#[inline(always)]
fn map<S: Scalar>(x: &[S], y: &mut [S], activation: impl Fn(S) -> (S, S)) {
    vectorize(
        #[inline(always)]
        || {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = activation(x).0;
            }
        },
    );
}

#[inline(always)]
fn map_backward<S: Scalar>(x: &[S], dy: &[S], dx: &mut [S], store: Store, activation: impl Fn(S) -> (S, S)) {
    vectorize(
        #[inline(always)]
        || {
            for ((dx, &x), &dy) in dx.iter_mut().zip(x).zip(dy) {
                store.put(dx, dy * activation(x).1);
            }
        },
    );
}
