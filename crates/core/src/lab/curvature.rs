//! How curved the loss of an adapter is at its start, and the learning rates that this implies.
//!
//! Products with the Hessian are exact up to the rounding of `f64`: the backward pass on numbers that carry their derivative along v gives H v beside the
//! gradient (Pearlmutter 1994, Neural Computation 6). Differences of `f32` gradients are no substitute: where the step is so small that the loss is quadratic
//! along it, rounding outweighs them. So a probe runs on the CPU, whatever trains. The ends of the spectrum are Lanczos'.
//!
//! Gradient descent on a quadratic with largest eigenvalue λ comes nearer to its lowest place at learning rates below 2/λ and is thrown out above
//! (Cohen et al. 2021, arXiv 2103.00065, §2).
//!
//! Adam divides every entry's gradient by its own size, so that 2/λ says nothing of it. Its first step is η times the signs of the gradient; what the
//! curvature implies for that step is the η at which the quadratic model along it is lowest, ‖g‖₁ / sᵀHs with s the signs.

use std::sync::Arc;

use loralab_cpu::{Dual, Scalar};
use loralab_data::Batch;
use loralab_linalg::{Lanczos, NoConvergence, Ritz};

use crate::{
    device::{Cpu, Inputs, RunSettings},
    graph::{memory::Tensor, plan::Plan},
};

/// The residual, as a share of its end of the spectrum, at which that end is known.
const KNOWN: f64 = 1e-2;
/// The same as a share of the end that is further from 0, for an end that is nothing beside it.
const NOTHING: f64 = 1e-4;

/// Where and on what the curvature is taken.
#[derive(Clone, Copy, Debug)]
pub struct Probed<'a> {
    /// The trained tensors, flat, as the plan has them.
    pub trained: &'a [f32],
    /// The frozen pairs; empty where the plan has none.
    pub frozen_pairs: &'a [f32],
    /// Scale and the rest of a run's settings.
    pub settings: RunSettings,
    /// Batches whose mean loss it is; each counts alike.
    pub batches: &'a [Batch],
}

/// The curvature of a loss at one place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Curvature {
    /// The loss there, in nats per token.
    pub loss: f64,
    /// ‖g‖, the norm of its gradient.
    pub gradient_norm: f64,
    /// The largest eigenvalue of the Hessian: the sharpness.
    pub largest: Ritz,
    /// The smallest.
    pub smallest: Ritz,
    /// Products with the Hessian that this took.
    pub products: usize,
    /// The learning rate at which a first step along the signs of the gradient lowers the quadratic model most; none where it has no lowest place.
    pub sign_step: Option<f64>,
}

/// Why there is no curvature.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CurvatureError {
    /// A gradient that is not finite.
    #[error(
        "the gradients at the start are not finite, so the loss has no curvature there; lower `alpha` or choose another scheme"
    )]
    NotFinite(#[from] NoConvergence),
}

/// Bytes of memory that at most `products` products with the Hessian take on so many threads, for a plan of one run.
pub fn curvature_bytes(plan: &Plan, base: &[Tensor], threads: Option<usize>, products: usize) -> u64 {
    let device: u64 = Cpu::<Dual>::needs(plan, base, threads).terms.iter().map(|cost| cost.shared + cost.per_run).sum();
    // Lanczos keeps its directions.
    device + (products as u64 + 1) * plan.trained_len() as u64 * size_of::<f64>() as u64
}

/// The curvature from at most `products` products with the Hessian, fewer once both ends of its spectrum are known, on so many threads of the CPU; `plan` is
/// that of one run, and `seed` draws Lanczos' first direction.
///
/// # Errors
/// If a gradient is not finite.
pub fn curvature(
    plan: Arc<Plan>,
    base: Arc<[Tensor]>,
    threads: Option<usize>,
    probed: Probed<'_>,
    products: usize,
    seed: u64,
) -> Result<Curvature, CurvatureError> {
    let mut hessian = Hessian { device: Cpu::new(plan, base, threads), probed };
    let entries = probed.trained.len();
    let (loss, gradient) = hessian.along(&vec![0.0; entries]);
    let (loss, gradient): (f64, Vec<f64>) = (loss, gradient.into_iter().map(|g| g.value).collect());
    let mut lanczos = Lanczos::new(entries, seed);
    let mut taken = 0;
    let [largest, smallest] = loop {
        if let Some(direction) = lanczos.direction().filter(|_| taken < products) {
            let product = hessian.product(direction);
            lanczos.take(&product);
            taken += 1;
        }
        let ends = lanczos.ends()?;
        if taken == products || lanczos.direction().is_none() || are_known(&ends) {
            break ends;
        }
    };
    let signs: Vec<f64> = gradient.iter().map(|g| if *g == 0.0 { 0.0 } else { g.signum() }).collect();
    let product = hessian.product(&signs);
    let curved: f64 = signs.iter().zip(&product).map(|(x, y)| x * y).sum();
    let falls: f64 = gradient.iter().map(|g| g.abs()).sum();
    let sign_step = Some(falls / curved).filter(|rate| rate.is_finite() && *rate > 0.0);
    let gradient_norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
    Ok(Curvature { loss, gradient_norm, largest, smallest, products: taken, sign_step })
}

/// True if more products would hardly move them.
fn are_known(ends: &[Ritz; 2]) -> bool {
    let furthest = ends.iter().map(|end| end.value.abs()).fold(0.0, f64::max);
    ends.iter().all(|end| end.residual <= (KNOWN * end.value.abs()).max(NOTHING * furthest))
}

/// The second derivatives of the mean loss over the batches at one place.
struct Hessian<'a> {
    device: Cpu<Dual>,
    probed: Probed<'a>,
}

impl Hessian<'_> {
    /// H v.
    fn product(&mut self, direction: &[f64]) -> Vec<f64> {
        self.along(direction).1.into_iter().map(|g| g.tangent).collect()
    }

    /// The loss, and the gradient with its derivative along `direction`.
    fn along(&mut self, direction: &[f64]) -> (f64, Vec<Dual>) {
        let Self { device, probed: Probed { trained, frozen_pairs, settings, batches } } = self;
        device.load(0, trained, frozen_pairs, *settings);
        let moving = |(&at, &tangent): (&f32, &f64)| Dual { value: at.into(), tangent };
        device.set_trained(0, &trained.iter().zip(direction).map(moving).collect::<Vec<_>>());
        let share = Dual::from_f64(1.0 / batches.len() as f64);
        let (mut loss, mut gradient) = (Dual::ZERO, vec![Dual::ZERO; trained.len()]);
        for batch in *batches {
            let (of_batch, by_batch) = device.gradient(0, Inputs::from(batch));
            loss += share * of_batch;
            gradient.iter_mut().zip(by_batch).for_each(|(sum, g)| *sum += share * g);
        }
        (loss.value, gradient)
    }
}
