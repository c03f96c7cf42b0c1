//! Activation shift: the change of weight that would undo how unevenly the finetuning data excite the layer, as a start. **Ours**, and speculative.
//!
//! ConsNoTrainLoRA (Das et al. 2025, arXiv 2507.08044) estimates the adapter in closed form from the pretrained weight and the activations of the finetuning
//! data, with ranks that differ by layer; its equations could not be read, and this is not it. In its spirit: with C the covariance of the inputs over
//! the mean of its diagonal, ask that the adapted layer does to its inputs what the base does to whitened ones, ΔW = W ((C + ε I)^(−1/2) − I). The first
//! triplets of ΔW, split evenly, are the factors; ranks go to the layers whose triplets hold the largest shares of ‖ΔW‖², up to 2R. As the change would
//! replace what the base knows, its product is taken out by the frozen pair: it says where to learn, not what.

use loralab_linalg::{Mat, Svd, svd, symmetric_eigen};

use super::{
    Begins, Layer, Rule, Scheme, Start, StartError, Trains,
    calibration::{KnownLayer, distribute},
    pissa::balanced,
};

/// Triplets that a layer may get, in multiples of R.
const SPREAD: usize = 2;
/// ε, beside a covariance whose mean eigenvalue is 1.
const FLOOR: f64 = 0.01;

/// Activation shift.
pub(super) static ACTIVATION_SHIFT: Scheme = Scheme {
    name: "activation-shift",
    about: "the change of weight that would whiten the layer's inputs, taken out of the base; ranks go where it is large",
    source: "ours, in the spirit of Das et al. 2025, ConsNoTrainLoRA, arXiv 2507.08044, whose equations could not be read",
    rule: Rule::Activations { start, spread: SPREAD, labels: false },
    begins: Begins::AtBase,
    frozen_pair: true,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: true,
    options: &[],
};

fn start(layers: &[KnownLayer<'_>]) -> Result<Vec<Start>, StartError> {
    let mut changes = Vec::with_capacity(layers.len());
    for known in layers {
        let layer = &known.layer;
        known.check_rows(ACTIVATION_SHIFT.name, SPREAD * layer.rank)?;
        let variance = known.variance(ACTIVATION_SHIFT.name)?;
        let covariance = known.inputs.covariance();
        let eigen = symmetric_eigen(covariance.as_ref()).map_err(layer.undecomposed("inputs"))?;
        known.check_directions(ACTIVATION_SHIFT.name, &eigen.values)?;
        let unit = layer.inputs as f64 / variance;
        let stretch = |k: usize| (eigen.values[k].max(0.0) * unit + FLOOR).sqrt().recip() - 1.0;
        let turned = Mat::from_fn(layer.inputs, layer.inputs, |i, k| eigen.vectors[(i, k)] * stretch(k));
        let change = (known.weight)()? * (turned * eigen.vectors.transpose());
        changes.push(svd(change.as_ref()).map_err(layer.undecomposed("change of weight"))?);
    }
    let share = |triplets: &Svd, layer: &KnownLayer<'_>| -> Vec<f64> {
        let all: f64 = triplets.s.iter().map(|s| s * s).sum();
        triplets.s.iter().take(SPREAD * layer.layer.rank).map(|s| s * s / all.max(f64::MIN_POSITIVE)).collect()
    };
    let shares: Vec<Vec<f64>> = changes.iter().zip(layers).map(|(triplets, layer)| share(triplets, layer)).collect();
    let ranks = distribute(&shares, layers.iter().map(|known| known.layer.rank).sum());
    let mut starts = Vec::with_capacity(layers.len());
    for ((known, triplets), rank) in layers.iter().zip(&changes).zip(ranks) {
        starts.push(balanced(&Layer { rank, ..known.layer }, triplets, 0));
    }
    Ok(starts)
}
