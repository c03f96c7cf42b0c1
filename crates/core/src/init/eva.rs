//! EVA: A reads the directions in which the inputs of the layer vary most, and layers whose inputs vary in few directions give rank to others.
//!
//! A is the first eigenvectors of the inputs' covariance, of norm 1, about the mean: paper and code speak of a singular value decomposition, but the
//! code subtracts the mean. B is zero. With ρ = 2, each layer offers 2R directions, whose shares of the layer's variance compete for the R·(layers) places
//! of the model; a layer can end without an adapter. Every layer keeps the scale s, as PEFT's `adjust_scaling_factors` does: α of a layer follows its rank.
//!
//! The source finds the directions by incremental decompositions of truncated batches; here the moments are summed up whole, so that no direction is lost
//! on the way, and batches are read until none of the directions that are used turns by more than τ allows, or there were 32.

use super::calibration::{Covariance, KnownLayer, distribute};
use super::choice::{Choice, Domain};
use super::{Begins, Layer, Rule, Scheme, Start, StartError, Trains};
use loralab_linalg::Mat;

/// ρ of the source; 1 leaves every layer its rank.
const RHO: Choice = Choice {
    name: "rho",
    about: "the largest rank of a layer, in multiples of the one that is asked for",
    default: 2.0,
    domain: Domain::Whole(1, 8),
};
/// τ of the source.
const TAU: Choice = Choice {
    name: "tau",
    about: "the cosine at which a direction counts as settled",
    default: 0.99,
    domain: Domain::Share,
};

/// EVA.
pub(super) static EVA: Scheme = Scheme {
    name: "eva",
    about: "A is the principal directions of the layer's inputs, ranks go where they explain most; B is zero",
    source: "Paischer et al. 2024, EVA, arXiv 2410.07170, section 3, with PEFT's scaling",
    rule: Rule::Activations { start, spread: RHO.default as usize, settle: Some(TAU.default), labels: false },
    begins: Begins::AtBase,
    frozen_pair: false,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: false,
    options: &[RHO, TAU],
};

fn start(layers: &[KnownLayer<'_>]) -> Result<Vec<Start>, StartError> {
    let mut directions: Vec<Mat<f64>> = Vec::with_capacity(layers.len());
    let mut shares: Vec<Vec<f64>> = Vec::with_capacity(layers.len());
    for (index, known) in layers.iter().enumerate() {
        if let Some(same) = layers[..index].iter().position(|other| std::ptr::eq(other.inputs, known.inputs)) {
            shares.push(shares[same].clone());
            directions.push(directions[same].clone());
            continue;
        }
        let rank = known.layer.rank;
        let offered = known.layer.value(&RHO) as usize * rank;
        known.check_rows(EVA.name, offered)?;
        let variance = known.variance(EVA.name)?;
        let leading = known.leading(&Covariance(known.inputs), offered)?;
        shares.push(leading.values.iter().map(|value| value / variance).collect());
        directions.push(leading.vectors);
    }
    let ranks = distribute(&shares, layers.iter().map(|known| known.layer.rank).sum());
    let mut starts = Vec::with_capacity(layers.len());
    for ((known, directions), rank) in layers.iter().zip(&directions).zip(ranks) {
        let a = directions.subcols(0, rank).transpose();
        starts.push(Layer { rank, ..known.layer }.padded(a, Mat::zeros(known.layer.outputs, rank).as_ref()));
    }
    Ok(starts)
}
