//! LoRA-GA: the adapter's first step approximates the step of full finetuning, as far as its rank allows.
//!
//! With the gradient's triplets G = U diag(σ) Vᵀ: A is the first R right singular vectors and B is the *next* R left ones, both times m^(1/4)/√γ, with m the
//! outputs. One plain gradient step then changes the weight by −η s² (√m/γ) times the best approximation of G by rank 2R, to first order. The frozen pair
//! subtracts the start, so G's sign and size do not matter.

use loralab_linalg::{Mat, Svd};

use super::choice::{AnyChoice, Choice, Domain};
use super::{Begins, Layer, Rule, Scheme, Start, StartError, Trains, calibration::strength, scheme::Sketch};

/// γ of the source.
const GAMMA: Choice<f64> = Choice::number("gamma", "what the factors' product is divided by", 16.0, Domain::Positive);
/// The sketch size and iterations that the source passes to `svd_lowrank`.
const SKETCH: Sketch = Sketch { ranks: 4, iterations: 4 };

/// LoRA-GA as in its authors' code.
pub(super) static LORA_GA: Scheme = Scheme {
    name: "lora-ga",
    about: "A and B are singular vectors of the first gradient, of one size; the product is taken out of the base",
    source: "Wang, Yu, Li 2024, LoRA-GA, arXiv 2407.05000, with the direction ArB2r and the scale \"stable\" of its code",
    rule: Rule::Gradients { start: official, sketch: SKETCH },
    begins: Begins::AtBase,
    frozen_pair: true,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: false,
    options: &[AnyChoice::Number(&GAMMA)],
};

/// LoRA-GA as in PEFT.
pub(super) static LORA_GA_PEFT: Scheme = Scheme {
    name: "lora-ga-peft",
    about: "lora-ga as PEFT computes it: A has rows of norm 1, B its singular values, so that the gradient's size matters",
    source: "PEFT, init_lora_weights=\"lora_ga\", direction ArB2r, scale \"stable\"",
    rule: Rule::Gradients { start: as_peft, sketch: SKETCH },
    begins: Begins::AtBase,
    frozen_pair: true,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: false,
    options: &[AnyChoice::Number(&GAMMA)],
};

fn official(layer: &Layer<'_>, gradient: &Svd) -> Result<Start, StartError> {
    strength(LORA_GA.name, layer, gradient)?;
    let size = size(layer);
    Ok(pair(layer, gradient, size, |_| size))
}

fn as_peft(layer: &Layer<'_>, gradient: &Svd) -> Result<Start, StartError> {
    strength(LORA_GA_PEFT.name, layer, gradient)?;
    Ok(pair(layer, gradient, 1.0, |s| s * size(layer)))
}

/// m^(1/4)/√γ
fn size(layer: &Layer<'_>) -> f64 {
    (layer.outputs as f64).sqrt().sqrt() / layer.value(&GAMMA).sqrt()
}

/// A from the first R right singular vectors, B from the following R left ones; zeros if there are fewer.
fn pair(layer: &Layer<'_>, Svd { u, s, v }: &Svd, of_a: f64, of_b: impl Fn(f64) -> f64) -> Start {
    let rank = layer.rank;
    let a = Mat::from_fn(rank.min(s.len()), layer.inputs, |k, column| of_a * v[(column, k)]);
    let left = s.len().saturating_sub(rank).min(rank);
    let b = Mat::from_fn(layer.outputs, left, |row, k| of_b(s[rank + k]) * u[(row, rank + k)]);
    layer.padded(a.as_ref(), b.as_ref()).subtracted()
}
