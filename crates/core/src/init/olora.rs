//! OLoRA: the first columns of an orthonormal basis of the weight, with what they carry of it.
//!
//! With W = Q R: B is the first R columns of Q, A the first R rows of R. The factors are not divided by the scale, in the paper as in PEFT, so s B A
//! is taken out of the base (here by the frozen pair), not B A. Q's signs are settled so that R's diagonal is not negative.

use loralab_linalg::{MatRef, thin_qr};

use super::{Begins, Layer, Rule, Scheme, Start, StartError, Trains};

/// OLoRA.
pub(super) static OLORA: Scheme = Scheme {
    name: "olora",
    about: "B and A are the first columns of Q and rows of R of the weight's QR decomposition, taken out of the base",
    source: "Büyükakyüz 2024, OLoRA, arXiv 2406.01775",
    rule: Rule::Weights(start),
    begins: Begins::AtBase,
    frozen_pair: true,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: false,
};

fn start(layer: &Layer<'_>, weight: MatRef<'_, f64>, _: u64) -> Result<Start, StartError> {
    let decomposed = thin_qr(weight);
    let count = layer.rank.min(decomposed.r.nrows());
    Ok(layer.padded(decomposed.r.subrows(0, count), decomposed.q.subcols(0, count)).subtracted())
}
