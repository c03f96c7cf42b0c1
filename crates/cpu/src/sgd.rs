//! Stochastic gradient descent with momentum, as PyTorch computes it (no dampening, no Nesterov).

use crate::Scalar;
use crate::simd::vectorize;

/// Settings of one step.
#[derive(Clone, Copy, Debug)]
pub struct Hyper<S> {
    /// The learning rate γ of this step.
    pub learning_rate: S,
    /// The momentum μ; 0 is plain gradient descent.
    pub momentum: S,
    /// The weight decay λ, added to the gradient.
    pub weight_decay: S,
    /// True for the first step, which sets the momentum to the gradient whatever `m` holds.
    pub first: bool,
}

/// One step of parameters `p` with gradient `g` and momentum `m`, element by element:
/// m ← μm + g + λp (at the first step, g + λp); p ← p − γm.
///
/// # Panics
/// If the slices are not of equal length.
pub fn step<S: Scalar>(hyper: Hyper<S>, p: &mut [S], g: &[S], m: &mut [S]) {
    assert!(p.len() == g.len() && p.len() == m.len(), "p, g and m must be of equal length");
    let Hyper { learning_rate, momentum, weight_decay, first } = hyper;
    if first {
        m.fill(S::ZERO);
    }
    vectorize(
        #[inline(always)]
        || {
            for ((p, &g), m) in p.iter_mut().zip(g).zip(m) {
                *m = momentum * *m + (g + weight_decay * *p);
                *p -= learning_rate * *m;
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_steps_by_hand() {
        let mut hyper = Hyper { learning_rate: 0.1_f64, momentum: 0.9, weight_decay: 0.5, first: true };
        let (mut p, mut m) = ([2.0], [f64::NAN]);
        step(hyper, &mut p, &[3.0], &mut m);
        // m = 3 + 1 = 4, p = 2 − 0.4.
        assert!((m[0] - 4.0).abs() < 1e-15 && (p[0] - 1.6).abs() < 1e-15);
        hyper.first = false;
        step(hyper, &mut p, &[-1.0], &mut m);
        // m = 3.6 − 1 + 0.8 = 3.4, p = 1.6 − 0.34.
        assert!((m[0] - 3.4).abs() < 1e-15 && (p[0] - 1.26).abs() < 1e-15);
    }

    #[test]
    fn without_momentum_it_is_plain_descent() {
        let hyper = Hyper { learning_rate: 0.5_f32, momentum: 0.0, weight_decay: 0.0, first: false };
        let (mut p, mut m) = ([1.0, -2.0], [7.0, 7.0]);
        step(hyper, &mut p, &[2.0, 0.0], &mut m);
        assert_eq!(p, [0.0, -2.0]);
    }
}
