//! Every op before its two judges, one module per op:
//!
//! - its gradients, if it has any, against central differences of its own forward pass, in `f64` ([`assert_derivative`]);
//! - its `f32` results against the exact ones, within the bound that [`Tracked`] derives ([`assert_within_bound`]).

mod add;
mod attention;
mod bias;
mod cache;
mod cross_entropy;
mod dropout;
mod embedding;
mod geglu;
mod gelu;
mod layer_norm;
mod linear;
mod linear_cross_entropy;
mod lora_linear;
mod moments;
mod mse;
mod optimiser;
mod orthonormal;
mod packed;
mod relu;
mod rms_norm;
mod rope;
mod split;
mod swiglu;
mod tanh;

use loralab_cpu::{Scalar, Tracked};

/// Deterministic numbers, the same in every scalar: each is an `f32`, uniform in (−1, 1), and never close to zero.
pub fn draw<S: Scalar>(seed: u64, count: usize) -> Vec<S> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        // SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014).
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let x = x ^ (x >> 31);
        let magnitude = (x >> 41) as f32 / (1 << 23) as f32;
        let magnitude = 1.0 / 64.0 + magnitude * 63.0 / 64.0;
        if x & 1 == 0 { magnitude } else { -magnitude }
    };
    (0..count).map(|_| S::from_f32(next())).collect()
}

/// An output to be overwritten: whatever reads it becomes NaN.
pub fn poisoned<S: Scalar>(count: usize) -> Vec<S> {
    vec![S::from_f32(f32::NAN); count]
}

/// ⟨a, b⟩: with a random upstream gradient `a`, the scalar whose gradient a backward pass computes.
pub fn inner(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Asserts that `gradient` is the gradient of `objective` at `x`.
///
/// Each partial derivative is the five-point central difference with step h = 2⁻¹⁰. Its truncation error is h⁴/30 times a
/// fifth derivative, about 3e-14 for well-scaled functions, and its rounding error about 2⁻⁵³/h = 1e-13 times the value
/// of the objective. The tolerance of 1e-9 of the largest gradient leaves room for objectives of a few thousand terms
/// and fifth derivatives of a few thousand; a wrong gradient is wrong by far more. `x` must be 2h away from any kink.
pub fn assert_derivative(what: &str, x: &[f64], gradient: &[f64], mut objective: impl FnMut(&[f64]) -> f64) {
    const STEP: f64 = 1.0 / 1024.0;
    const TOLERANCE: f64 = 1e-9;
    assert_eq!(x.len(), gradient.len(), "{what}: one partial derivative per input");
    let largest = gradient.iter().fold(0.0_f64, |largest, g| largest.max(g.abs()));
    assert!(largest > 0.0 && largest.is_finite(), "{what}: the gradient is all zero or not finite");
    let mut x = x.to_vec();
    let mut worst = 0.0_f64;
    for i in 0..x.len() {
        let center = x[i];
        let mut at = |offset: f64| {
            x[i] = center + offset;
            objective(&x)
        };
        let near = at(STEP) - at(-STEP);
        let far = at(2.0 * STEP) - at(-2.0 * STEP);
        x[i] = center;
        let expected = (8.0 * near - far) / (12.0 * STEP);
        let error = (gradient[i] - expected).abs() / largest;
        assert!(error <= TOLERANCE, "{what}: derivative {i} is {}, differences give {expected}", gradient[i]);
        worst = worst.max(error);
    }
    println!("{what}: {} derivatives, worst relative error {worst:.1e}", x.len());
}

/// A computation that can be run in every scalar.
pub trait Computation {
    /// Draws the inputs, runs the op, and returns all its outputs one after another.
    fn outputs<S: Scalar>(&self) -> Vec<S>;
}

/// Asserts that the `f32` result lies within the tracked bound of the `f64` result, and that the bound says something: on
/// average it is below 1e-3 of the average magnitude.
pub fn assert_within_bound(what: &str, computation: &impl Computation) {
    let device = computation.outputs::<f32>();
    let exact = computation.outputs::<f64>();
    let tracked = computation.outputs::<Tracked>();
    assert!(device.len() == exact.len() && exact.len() == tracked.len() && !exact.is_empty());
    let (mut magnitude, mut bound, mut worst) = (0.0, 0.0, 0.0_f64);
    for (i, ((&device, &exact), &tracked)) in device.iter().zip(&exact).zip(&tracked).enumerate() {
        let error = (f64::from(device) - exact).abs();
        // Written so that NaN fails.
        assert!(
            error <= tracked.error,
            "{what}: output {i} is {device} in f32, {exact} exactly, which is more than {} away",
            tracked.error
        );
        let drift = (tracked.value - exact).abs();
        assert!(drift <= 1e-9 * (1.0 + exact.abs()), "{what}: output {i} is {exact} in f64, tracked as {tracked:?}");
        magnitude += exact.abs();
        bound += tracked.error;
        if tracked.error > 0.0 {
            worst = worst.max(error / tracked.error);
        }
    }
    assert!(
        bound <= 1e-3 * magnitude,
        "{what}: the bound {bound:e} is too wide for outputs of magnitude {magnitude:e}"
    );
    println!("{what}: {} outputs, at most {worst:.3} of the bound used", exact.len());
}

#[test]
fn wrong_gradients_are_found() {
    let x = draw::<f64>(1, 5);
    let cube = |x: &[f64]| x.iter().map(|x| x * x * x).sum::<f64>();
    let right: Vec<f64> = x.iter().map(|x| 3.0 * x * x).collect();
    assert_derivative("cube", &x, &right, cube);
    let mut wrong = right;
    wrong[3] *= 1.0 + 1e-6;
    assert!(std::panic::catch_unwind(|| assert_derivative("cube", &x, &wrong, cube)).is_err());
}
