//! EVA: the rows of A are the directions in which the layer's inputs vary most, and layers whose inputs vary in few directions give rank to others.
//!
//! A is the leading unit eigenvectors of the inputs' covariance about the mean: paper and code speak of a singular value decomposition, but the
//! code subtracts the mean. B is zero. With ρ = 2, each layer offers 2R directions, whose shares of the layer's variance compete for the R·(layers) directions
//! of the model; a layer can end up without an adapter. Every layer keeps the scale s, as with PEFT's `adjust_scaling_factors`: α of a layer follows its rank.
//!
//! As in the source, the directions are found by incremental decompositions, batch by batch; four directions are carried per direction asked for, so that little is
//! lost. Batches are read until none of the directions used turns by more than τ allows, or 32 were read.

use super::calibration::{ROUNDING, SeenLayer, distribute};
use super::choice::{AnyChoice, Choice, Domain};
use super::{Begins, Layer, Rule, Scheme, Start, StartError, Trains};
use loralab_linalg::Mat;

/// ρ of the source; with 1 every layer keeps its rank.
const RHO: Choice<usize> =
    Choice::count("rho", "the largest rank of a layer, in multiples of the one that is asked for", 2, [1, 8]).sets(
        |rule, rho| {
            if let Rule::Components { spread, .. } = rule {
                *spread = rho;
            }
        },
    );
/// τ of the source.
const TAU: Choice<f64> =
    Choice::number("tau", "the cosine at which a direction counts as settled", 0.99, Domain::Share).sets(
        |rule, tau| {
            if let Rule::Components { settle, .. } = rule {
                *settle = tau;
            }
        },
    );

/// EVA.
pub(super) static EVA: Scheme = Scheme {
    name: "eva",
    about: "A is the principal directions of the layer's inputs, ranks go where they explain most; B is zero",
    source: "Paischer et al. 2024, EVA, arXiv 2410.07170, section 3, with PEFT's scaling",
    rule: Rule::Components { start, spread: RHO.default, settle: TAU.default },
    begins: Begins::AtBase,
    frozen_pair: false,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: false,
    options: &[AnyChoice::Count(&RHO), AnyChoice::Number(&TAU)],
};

fn start(layers: &[SeenLayer<'_>]) -> Result<Vec<Start>, StartError> {
    let mut shares: Vec<Vec<f64>> = Vec::with_capacity(layers.len());
    for SeenLayer { layer, inputs } in layers {
        let offered = layer.value(&RHO) * layer.rank;
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
        // Rank that one layer can't use goes to others; it is an error only if all layers together have too few directions.
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
