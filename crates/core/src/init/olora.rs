//! OLoRA: the first columns of an orthonormal basis of the weight, with what they carry of it.
//!
//! With W = Q R: B is the first R columns of Q, A the first R rows of R. The factors are not divided by the scale, in the paper as in PEFT, so s B A
//! is taken out of the base (here by the frozen pair), not B A. Q's signs are settled so that R's diagonal is not negative.

use loralab_linalg::thin_qr;

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
    options: &[],
};

fn start(layer: &Layer<'_>, weight: &[f32], _: u64) -> Result<Start, StartError> {
    let weight = layer.matrix(weight);
    // The first columns of Q are those of the first columns of W.
    let count = layer.rank.min(weight.nrows()).min(weight.ncols());
    let first = thin_qr(weight.subcols(0, count));
    let mut r = first.q.transpose() * &weight;
    r.subcols_mut(0, count).copy_from(&first.r);
    Ok(layer.padded(r.as_ref(), first.q.as_ref()).subtracted())
}
