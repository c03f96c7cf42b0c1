//! A single layer with one example: Z = a B A x, whose output always has the same gradient d.

use loralab_cpu::{adamw, sign_sgd};
use loralab_linalg::Stream;

use crate::lora::init::{self, Scheme};

/// The optimiser of A and B.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimizer {
    /// A step of ±η for each element: the theory's idealised Adam.
    Sign,
    /// Adam with β = (0.9, 0.999), ε = 1e-8 and no weight decay.
    Adam,
}

/// A layer and its training.
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    /// The initialisation scheme of A and B.
    pub scheme: &'static Scheme,
    /// The width n: columns of A, (R, n), and rows of B, (n, R).
    pub width: usize,
    /// The rank R.
    pub rank: usize,
    /// The multiplier a in Z = a B A x.
    pub multiplier: f64,
    /// The learning rate η of both A and B.
    pub learning_rate: f64,
    /// The optimiser of A and B.
    pub optimizer: Optimizer,
    /// The seed of x, d and the start.
    pub seed: u64,
}

/// The effect of a step: root mean squares over the entries of each quantity. With Z_A = A x, Z_B = a B Z_A, and Δ the change in the step,
/// ΔZ_B = δ₁ + δ₂ + δ₃ exactly (paper, §3.2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Z_A after the step.
    pub z_a: f64,
    /// Z_B after the step.
    pub z_b: f64,
    /// δ₁ = a B ΔZ_A with B before the step: the change from training A alone.
    pub delta1: f64,
    /// δ₂ = a ΔB Z_A with Z_A before the step: the change from training B alone.
    pub delta2: f64,
    /// δ₃ = a ΔB ΔZ_A.
    pub delta3: f64,
    /// B after the step.
    pub b: f64,
    /// Largest |ΔZ_B − δ₁ − δ₂ − δ₃| over the entries, as a share of the largest |Z_B|, |δ₁|, |δ₂| or |δ₃|: rounding only.
    pub identity_error: f64,
}

/// A factor, R rows of n elements, with its gradient and Adam's moments.
struct Moving {
    values: Vec<f64>,
    /// The change in the last step.
    moved: Vec<f64>,
    gradient: Vec<f64>,
    first: Vec<f64>,
    second: Vec<f64>,
}

impl Moving {
    fn new(values: Vec<f64>) -> Self {
        let zeros = vec![0.0; values.len()];
        Self { values, moved: zeros.clone(), gradient: zeros.clone(), first: zeros.clone(), second: zeros }
    }

    /// Step `t`, counted from 1, along the gradient `rows` ⊗ `columns`.
    fn step(&mut self, layer: &Layer, t: i32, rows: &[f64], columns: &[f64]) {
        for (gradient, row) in self.gradient.chunks_exact_mut(layer.width).zip(rows) {
            gradient.iter_mut().zip(columns).for_each(|(gradient, column)| *gradient = row * column);
        }
        self.moved.copy_from_slice(&self.values);
        match layer.optimizer {
            Optimizer::Sign => sign_sgd::step(layer.learning_rate, 0.0, &mut self.values, &self.gradient),
            Optimizer::Adam => {
                let hyper = adamw::Hyper {
                    learning_rate: layer.learning_rate,
                    one_minus_beta1: 0.1,
                    beta2: 0.999,
                    one_minus_beta2: 0.001,
                    epsilon: 1e-8,
                    weight_decay: 0.0,
                    bias1: 1.0 - 0.9_f64.powi(t),
                    bias2: 1.0 - 0.999_f64.powi(t),
                };
                adamw::step(hyper, &mut self.values, &self.gradient, &mut self.first, &mut self.second);
            }
        }
        self.moved.iter_mut().zip(&self.values).for_each(|(moved, after)| *moved = after - *moved);
    }
}

/// Trains the layer for `steps` steps and returns the effect of each. x and d have standard normal entries.
///
/// The gradients are ∂L/∂A = a Bᵀd ⊗ x and ∂L/∂B = a d ⊗ Z_A.
pub fn trace(layer: &Layer, steps: usize) -> Vec<Step> {
    let Layer { scheme, width, rank, multiplier, seed, .. } = *layer;
    let draw = |name: &str| {
        let mut values = vec![0.0_f32; width];
        Stream::new(seed, name).normal(1.0, &mut values);
        values.into_iter().map(f64::from).collect::<Vec<f64>>()
    };
    let (x, d) = (draw("theory.x"), draw("theory.d"));
    let of_scheme =
        init::Layer { name: "theory", inputs: width, outputs: width, rank, scale: multiplier as f32, chosen: &[] };
    let start = scheme.start(&of_scheme, || None, seed).expect("schemes of the theory are drawn at an even rank");
    // B is stored transposed, R rows of n, so that every sum runs along a row.
    let turned = (0..rank).flat_map(|column| start.b.iter().skip(column).step_by(rank));
    let mut a = Moving::new(start.a.iter().map(|&x| f64::from(x)).collect());
    let mut b = Moving::new(turned.map(|&x| f64::from(x)).collect());
    let down = |a: &[f64]| a.chunks_exact(width).map(|row| dot(row, &x)).collect::<Vec<f64>>();
    let up = |b: &[f64], z: &[f64]| {
        let mut out = vec![0.0; width];
        for (row, z) in b.chunks_exact(width).zip(z) {
            let z = multiplier * z;
            out.iter_mut().zip(row).for_each(|(out, b)| *out += z * b);
        }
        out
    };

    let mut z_a = down(&a.values);
    let mut z_b = up(&b.values, &z_a);
    let mut taken = Vec::with_capacity(steps);
    for t in 1..=steps {
        let back: Vec<f64> = b.values.chunks_exact(width).map(|row| multiplier * dot(row, &d)).collect();
        let forth: Vec<f64> = z_a.iter().map(|z| multiplier * z).collect();
        let old_b = b.values.clone();
        let t = i32::try_from(t).unwrap_or(i32::MAX);
        a.step(layer, t, &back, &x);
        b.step(layer, t, &forth, &d);
        let moved_z = down(&a.moved);
        let deltas = [up(&old_b, &moved_z), up(&b.moved, &z_a), up(&b.moved, &moved_z)];
        z_a = down(&a.values);
        let new_z_b = up(&b.values, &z_a);
        let (mut error, mut size) = (0.0_f64, f64::MIN_POSITIVE);
        for (place, (new, old)) in new_z_b.iter().zip(&z_b).enumerate() {
            let parts = [deltas[0][place], deltas[1][place], deltas[2][place]];
            error = error.max((new - old - parts.iter().sum::<f64>()).abs());
            size = parts.iter().chain([new, old]).fold(size, |size, part| size.max(part.abs()));
        }
        z_b = new_z_b;
        taken.push(Step {
            z_a: root_mean_square(&z_a),
            z_b: root_mean_square(&z_b),
            delta1: root_mean_square(&deltas[0]),
            delta2: root_mean_square(&deltas[1]),
            delta3: root_mean_square(&deltas[2]),
            b: root_mean_square(&b.values),
            identity_error: error / size,
        });
    }
    taken
}

/// Σ xy in eight partial sums, which is faster than one.
fn dot(x: &[f64], y: &[f64]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let rest: f64 = xs.remainder().iter().zip(ys.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in xs.zip(ys) {
        for micro_batch in 0..LANES {
            sums[micro_batch] += x[micro_batch] * y[micro_batch];
        }
    }
    sums.iter().sum::<f64>() + rest
}

fn root_mean_square(values: &[f64]) -> f64 {
    (dot(values, values) / values.len() as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(scheme: &str, optimizer: Optimizer) -> Layer {
        let scheme = init::find(scheme).expect("a scheme");
        Layer { scheme, width: 512, rank: 4, multiplier: 1.0, learning_rate: 0.01, optimizer, seed: 3 }
    }

    /// The paper's first steps for sign descent, exactly: Z_B(1) = −η ‖Z_A(0)‖₁ sign(d) and A still with Init[A];
    /// Z_A(1) = −η ‖x‖₁ sign(B₀ᵀd) and B still with Init[B].
    #[test]
    fn first_sign_steps_are_those_of_the_paper() {
        let of_a = layer("init-a", Optimizer::Sign);
        let scheme = init::Layer { name: "theory", inputs: 512, outputs: 512, rank: 4, scale: 1.0, chosen: &[] };
        let mut x = vec![0.0_f32; 512];
        Stream::new(3, "theory.x").normal(1.0, &mut x);
        let start = of_a.scheme.start(&scheme, || None, 3).expect("it is drawn");
        let z: f64 = start
            .a
            .chunks(512)
            .map(|row| row.iter().zip(&x).map(|(a, x)| f64::from(*a) * f64::from(*x)).sum::<f64>().abs())
            .sum();
        let first = trace(&of_a, 1)[0];
        assert!((first.z_b / (0.01 * z) - 1.0).abs() < 1e-13, "{first:?}");
        assert_eq!((first.delta1, first.delta3), (0.0, 0.0));

        let first = trace(&layer("init-b", Optimizer::Sign), 1)[0];
        let size: f64 = x.iter().map(|x| f64::from(x.abs())).sum();
        assert!((first.z_a / (0.01 * size) - 1.0).abs() < 1e-13, "{first:?}");
        assert_eq!((first.delta2, first.delta3), (0.0, 0.0));
    }

    #[test]
    fn the_parts_are_the_whole_at_every_step() {
        for scheme in ["init-a", "init-b", "init-ab"] {
            for optimizer in [Optimizer::Sign, Optimizer::Adam] {
                for step in trace(&Layer { multiplier: 0.25, ..layer(scheme, optimizer) }, 20) {
                    assert!(step.identity_error < 1e-12, "{scheme} {optimizer:?}: {step:?}");
                    assert!(step.z_b > 0.0 && step.z_a > 0.0);
                }
            }
        }
    }

    #[test]
    fn adam_moves_as_far_as_signs_do_in_its_first_step() {
        let [sign, adam] = [Optimizer::Sign, Optimizer::Adam].map(|optimizer| trace(&layer("init-b", optimizer), 1)[0]);
        assert!((sign.z_a / adam.z_a - 1.0).abs() < 1e-4, "{sign:?} {adam:?}");
    }
}
