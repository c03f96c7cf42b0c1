//! Descent along the sign of the gradient. Bernstein et al. 2018, arXiv 1802.04434, algorithm 1, with decoupled weight
//! decay. It is the idealised Adam in the theory of LoRA initialisation (Hayou, Ghosh and Yu 2024, arXiv 2406.08447).

use crate::Scalar;
use crate::simd::vectorize;

/// One step of parameters `p` with gradient `g`: p ← p − (γλp + γ·sign(g)), where γ is the learning rate, λ the weight
/// decay, and sign(0) = 0. A NaN gradient makes its parameter NaN, so that it is detected.
///
/// # Panics
/// If the slices are not of equal length.
pub fn step<S: Scalar>(learning_rate: S, weight_decay: S, p: &mut [S], g: &[S]) {
    assert_eq!(p.len(), g.len(), "p and g must be of equal length");
    let shrink = learning_rate * weight_decay;
    vectorize(
        #[inline(always)]
        || {
            for (p, &g) in p.iter_mut().zip(g) {
                *p -= shrink * *p + learning_rate * sign(g);
            }
        },
    );
}

/// 1, −1, or `x` itself if it is ±0 or NaN.
#[inline(always)]
fn sign<S: Scalar>(x: S) -> S {
    if x > S::ZERO {
        S::ONE
    } else if x < S::ZERO {
        -S::ONE
    } else {
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_step_by_hand() {
        let mut p = [1.0_f32, 1.0, 1.0, 1.0, 1.0];
        step(0.25, 0.5, &mut p, &[1e-30, -7.0, 0.0, -0.0, f32::NAN]);
        assert_eq!(p[..4], [0.625, 1.125, 0.875, 0.875]);
        assert!(p[4].is_nan());
    }
}
