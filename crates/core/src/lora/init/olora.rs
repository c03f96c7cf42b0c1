//! OLoRA: the first columns of an orthonormal basis of the weight, with what they carry of it.
//!
//! With W = Q R: B is the first R columns of Q, A the first R rows of R. The factors are not divided by the scale, in the paper as in PEFT, so s B A
//! is taken out of the base (here by the frozen pair), not B A. Q's signs are settled so that R's diagonal is not negative.

use loralab_linalg::{Mat, thin_qr};

use super::{Begins, Layer, Rule, Scheme, Start, Trains};

/// OLoRA.
pub(super) static OLORA: Scheme = Scheme {
    name: "olora",
    about: "B and A are the first columns of Q and rows of R of the weight's QR decomposition, taken out of the base",
    source: "Büyükakyüz 2024, OLoRA, arXiv 2406.01775",
    rule: Rule::Product { rows, start },
    begins: Begins::AtBase,
    frozen_pair: true,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: false,
    options: &[],
};

/// The first columns of Q, which are those of the first columns of W.
fn rows(layer: &Layer<'_>, weight: &[f32], _: u64) -> Mat<f64> {
    let count = layer.rank.min(layer.outputs).min(layer.inputs);
    let first = Mat::from_fn(layer.outputs, count, |row, column| f64::from(weight[row * layer.inputs + column]));
    thin_qr(first.as_ref()).q.transpose().to_owned()
}

fn start(layer: &Layer<'_>, q: &Mat<f64>, r: &Mat<f64>) -> Start {
    // What a product leaves below the diagonal is rounding.
    let r = Mat::from_fn(r.nrows(), r.ncols(), |row, column| if column < row { 0.0 } else { r[(row, column)] });
    layer.padded(r.as_ref(), q.transpose()).subtracted()
}
