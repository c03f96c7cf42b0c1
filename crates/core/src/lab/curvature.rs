//! How curved the loss of an adapter is at its start, and the learning rates that this implies.
//!
//! Products with the Hessian are central differences of gradients, H v ≈ (g(θ + h v) − g(θ − h v)) / 2h, both of which are the runs of one pass; the ends
//! of its spectrum are Lanczos'. Gradient descent on a quadratic with largest eigenvalue λ comes nearer to its lowest place at learning rates below 2/λ
//! and is thrown out above (Cohen et al. 2021, arXiv 2103.00065, §2).
//!
//! Adam divides every entry's gradient by its own size, so that 2/λ says nothing of it. Its first step is η times the signs of the gradient; what the
//! curvature implies for that step is the η at which the quadratic model along it is lowest, ‖g‖₁ / sᵀHs with s the signs.

use loralab_data::Batch;
use loralab_linalg::{Lanczos, NoConvergence, Ritz};

use crate::device::{Device, DeviceError, Input, RunSettings};

/// h as a share of ‖θ‖: large against the rounding of f32, small against what θ is.
const STEP: f64 = 3e-3;

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
    /// A device that fails.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A gradient that is not finite.
    #[error(
        "the gradients at the start are not finite, so the loss has no curvature there; lower `alpha` or choose another scheme"
    )]
    NotFinite(#[from] NoConvergence),
}

/// The curvature from at most `products` products with the Hessian, on a device made for a plan of two runs; `seed` draws Lanczos' first direction.
///
/// # Errors
/// If the device fails or a gradient is not finite.
pub async fn curvature(
    device: &mut dyn Device,
    probed: Probed<'_>,
    products: usize,
    seed: u64,
) -> Result<Curvature, CurvatureError> {
    let (loss, gradient) = {
        let [(loss, gradient), _] = gradients(device, probed, [probed.trained; 2]).await?;
        (loss, gradient)
    };
    let size = loralab_linalg::norm(probed.trained).max(1e-3);
    let mut lanczos = Lanczos::new(probed.trained.len(), seed);
    let mut taken = 0;
    while taken < products
        && let Some(direction) = lanczos.direction()
    {
        let product = product(device, probed, direction, STEP * size).await?;
        lanczos.take(&product);
        taken += 1;
    }
    let [largest, smallest] = lanczos.ends()?;
    let signs: Vec<f64> = gradient.iter().map(|g| if *g == 0.0 { 0.0 } else { g.signum() }).collect();
    let moved = signs.iter().map(|s| s * s).sum::<f64>();
    let sign_step = if moved > 0.0 {
        let unit: Vec<f64> = signs.iter().map(|s| s / moved.sqrt()).collect();
        let product = product(device, probed, &unit, STEP * size).await?;
        let curved = moved * unit.iter().zip(&product).map(|(x, y)| x * y).sum::<f64>();
        let falls: f64 = gradient.iter().map(|g| g.abs()).sum();
        Some(falls / curved).filter(|rate| rate.is_finite() && *rate > 0.0)
    } else {
        None
    };
    let gradient_norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
    Ok(Curvature { loss, gradient_norm, largest, smallest, products: taken, sign_step })
}

/// H v for a unit vector v.
async fn product(
    device: &mut dyn Device,
    probed: Probed<'_>,
    direction: &[f64],
    step: f64,
) -> Result<Vec<f64>, CurvatureError> {
    let moved = |sign: f64| -> Vec<f32> {
        let places = probed.trained.iter().zip(direction);
        places.map(|(&at, v)| (f64::from(at) + sign * step * v) as f32).collect()
    };
    let (ahead, behind) = (moved(1.0), moved(-1.0));
    let [(_, one), (_, other)] = gradients(device, probed, [&ahead, &behind]).await?;
    Ok(one.iter().zip(&other).map(|(x, y)| (x - y) / (2.0 * step)).collect())
}

/// Losses and gradients at two places, means over the batches.
async fn gradients(
    device: &mut dyn Device,
    probed: Probed<'_>,
    places: [&[f32]; 2],
) -> Result<[(f64, Vec<f64>); 2], DeviceError> {
    for (run, trained) in places.into_iter().enumerate() {
        device.load(run, trained, probed.frozen_pairs, probed.settings);
    }
    let mut sums = [0, 1].map(|_| (0.0, vec![0.0; probed.trained.len()]));
    let share = 1.0 / probed.batches.len() as f64;
    for batch in probed.batches {
        for ((loss, gradient), probe) in sums.iter_mut().zip(device.probe(&[Input::from(batch); 2]).await?) {
            *loss += share * probe.loss;
            gradient.iter_mut().zip(&probe.gradient).for_each(|(sum, g)| *sum += share * f64::from(*g));
        }
    }
    Ok(sums)
}
