//! NoRA: A is a random sketch of the weight's row space (Nyström's), B is zero.
//!
//! A = σ Ω W / s with Ω, (R, O), standard normal and σ = 0.02. This is the paper's formula. The authors' released code applies the sketch where it has
//! no effect, so runs of that code are Init\[A\] with Kaiming's distribution; their σ is used here.

use loralab_linalg::Mat;

use super::Factor::A;
use super::choice::{AnyChoice, Choice, Domain};
use super::{Begins, Layer, Rule, Scheme, Start, Trains};

/// NoRA.
pub(super) static NORA: Scheme = Scheme {
    name: "nora",
    about: "A is a random sketch of the weight's row space, 0.02·Ω·W/scale, B is zero",
    source: "Li, Zhang, Mokhtari, He 2024, On the Crucial Role of Initialization for Matrix Factorization, arXiv 2410.18965, NoRA by its formula",
    rule: Rule::Product { rows, start },
    begins: Begins::AtBase,
    frozen_pair: false,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: true,
    options: &[AnyChoice::Number(&SIGMA)],
};

/// σ of the authors' code for LLaMA.
const SIGMA: Choice<f64> = Choice::number("sigma", "the size of the sketch", 0.02, Domain::Positive);

fn rows(layer: &Layer<'_>, _: &[f32], seed: u64) -> Mat<f64> {
    layer.normal_matrix(A, seed, layer.rank, layer.outputs)
}

fn start(layer: &Layer<'_>, _: &Mat<f64>, sketch: &Mat<f64>) -> Start {
    let factor = layer.value(&SIGMA) / f64::from(layer.scale);
    let b = Mat::zeros(layer.outputs, layer.rank);
    layer.padded((sketch * factor).as_ref(), b.as_ref())
}
