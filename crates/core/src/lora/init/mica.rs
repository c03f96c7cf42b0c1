//! MiCA: B is fixed to the directions that the weight hardly writes to, and A alone is trained, from zero.
//!
//! B is the left singular vectors of the R smallest singular values of the thin decomposition. B keeps its start by a learning rate of exactly 0.
//! Where gradients are clipped, the norm counts B's gradient too, which PEFT's does not.

use loralab_linalg::{Mat, svd};

use super::{Begins, Layer, Rule, Scheme, Start, StartError, Trains};

/// MiCA.
pub(super) static MICA: Scheme = Scheme {
    name: "mica",
    about: "A is zero, B is the last left singular vectors of the weight and is not trained",
    source: "PEFT, init_lora_weights=\"mica\" (Minor Component Adaptation)",
    rule: Rule::Weights(start),
    begins: Begins::AtBase,
    frozen_pair: false,
    trains: Trains::AOnly,
    halves_rank: false,
    divides_by_scale: false,
    options: &[],
};

fn start(layer: &Layer<'_>, weight: &[f32], _: u64) -> Result<Start, StartError> {
    let u = svd(layer.matrix(weight).as_ref()).map_err(layer.undecomposed("weight"))?.u;
    let count = layer.rank.min(u.ncols());
    Ok(layer.padded(Mat::zeros(count, layer.inputs).as_ref(), u.subcols(u.ncols() - count, count)))
}
