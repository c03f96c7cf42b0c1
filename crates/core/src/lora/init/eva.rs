//! EVA: A reads the directions in which the inputs of the layer vary most, and layers whose inputs vary in few directions give rank to others.
//!
//! A is the first eigenvectors of the inputs' covariance, of norm 1, about the mean: paper and code speak of a singular value decomposition, but the
//! code subtracts the mean. B is zero. With ρ = 2, each layer offers 2R directions, whose shares of the layer's variance compete for the R·(layers) places
//! of the model; a layer can end without an adapter. Every layer keeps the scale s, as PEFT's `adjust_scaling_factors` does: α of a layer follows its rank.
//!
//! As in the source, the directions are found by incremental decompositions, batch by batch; four are carried for each that a layer is asked for, so that little is
//! lost on the way. Batches are read until none of the directions that are used turns by more than τ allows, or there were 32.

use super::calibration::{ROUNDING, SeenLayer, distribute};
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
    rule: Rule::Components { start, spread: RHO.default as usize, settle: TAU.default },
    begins: Begins::AtBase,
    frozen_pair: false,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: false,
    options: &[RHO, TAU],
};

fn start(layers: &[SeenLayer<'_>]) -> Result<Vec<Start>, StartError> {
    let mut shares: Vec<Vec<f64>> = Vec::with_capacity(layers.len());
    for SeenLayer { layer, inputs } in layers {
        let offered = layer.value(&RHO) as usize * layer.rank;
        layer.check_rows(EVA.name, inputs.rows, offered)?;
        if inputs.variance <= ROUNDING * inputs.power {
            return Err(layer.no_variance(EVA.name));
        }
        shares.push(inputs.values.iter().take(offered).map(|value| value / inputs.variance).collect());
    }
    let found = |shares: &Vec<f64>| shares.iter().filter(|share| **share > ROUNDING).count();
    let asked = |layer: &Layer<'_>| layer.rank.min(layer.inputs);
    let all_asked: usize = layers.iter().map(|seen| asked(&seen.layer)).sum();
    if shares.iter().map(found).sum::<usize>() < all_asked {
        // What one layer can't use goes to others, but not what none can.
        for (SeenLayer { layer, .. }, shares) in layers.iter().zip(&shares) {
            layer.check_directions(EVA.name, "inputs", found(shares), asked(layer))?;
        }
    }
    let ranks = distribute(&shares, layers.iter().map(|seen| seen.layer.rank).sum());
    let start = |(SeenLayer { layer, inputs }, rank): (&SeenLayer<'_>, usize)| {
        let a = inputs.directions.subrows(0, rank);
        Layer { rank, ..*layer }.padded(a, Mat::zeros(layer.outputs, rank).as_ref())
    };
    Ok(layers.iter().zip(ranks).map(start).collect())
}
