//! MiLoRA: PiSSA's opposite. The adapter takes over the smallest singular triplets, and leaves the principal ones alone.

use loralab_linalg::svd;

use super::{Begins, Layer, Rule, Scheme, Start, StartError, Trains, pissa::balanced};

/// MiLoRA.
pub(super) static MILORA: Scheme = Scheme {
    name: "milora",
    about: "the last singular triplets of the weight, split evenly between A and B and taken out of the base",
    source: "Wang et al. 2024, MiLoRA, arXiv 2406.09044, as re-implemented for Learning Rate Matters, arXiv 2602.04998",
    rule: Rule::Weights(start),
    begins: Begins::AtBase,
    frozen_pair: true,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: true,
    options: &[],
};

fn start(layer: &Layer<'_>, weight: &[f32], _: u64) -> Result<Start, StartError> {
    let triplets = svd(layer.matrix(weight).as_ref()).map_err(layer.undecomposed("weight"))?;
    Ok(balanced(layer, &triplets, triplets.s.len().saturating_sub(layer.rank)))
}
