//! LoRA-One: the adapter starts as one step of full finetuning, to rank R, and the output starts after that step.
//!
//! With −G = U diag(σ) Vᵀ the negative mean gradient of a few batches: A = diag(√(σ/σ₁)) Vᵀ/√γ and B = U diag(√(σ/σ₁))/√γ, first R. Nothing is subtracted, so the start is
//! W − (s/(γ σ₁)) G to rank R: a step downhill, whose size ‖s B A‖₂ = s/γ does not depend on the gradient's. This follows the authors' code; their README leaves out
//! the root and the division by σ₁. Their scale is α/√R (`--scaling rslora`).

use loralab_linalg::{Mat, Svd};

use super::choice::{AnyChoice, Choice, Domain};
use super::{Begins, Layer, Rule, Scheme, Start, StartError, Trains, calibration::strength, scheme::Sketch};

/// γ of the source.
const GAMMA: Choice<f64> = Choice::number("gamma", "what the first step is divided by", 128.0, Domain::Positive);

/// LoRA-One.
pub(super) static LORA_ONE: Scheme = Scheme {
    name: "lora-one",
    about: "A and B are the leading triplets of the negative first gradient; the start is a small step downhill",
    source: "Zhang, Liu, Chen 2025, LoRA-One, arXiv 2502.01235, as in its code",
    // The source sketches 512 columns with 16 iterations, whatever the rank.
    rule: Rule::Gradients { start, sketch: Sketch { ranks: 8, iterations: 4 } },
    begins: Begins::Elsewhere,
    frozen_pair: false,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: false,
    options: &[AnyChoice::Number(&GAMMA)],
};

fn start(layer: &Layer<'_>, gradient: &Svd) -> Result<Start, StartError> {
    let largest = strength(LORA_ONE.name, layer, gradient)?;
    let Svd { u, s, v } = gradient;
    let count = layer.rank.min(s.len());
    let gamma = layer.value(&GAMMA);
    let root = |k: usize| (s[k] / largest / gamma).sqrt();
    let a = Mat::from_fn(count, layer.inputs, |k, column| root(k) * v[(column, k)]);
    let b = Mat::from_fn(layer.outputs, count, |row, k| -root(k) * u[(row, k)]);
    Ok(layer.padded(a.as_ref(), b.as_ref()))
}
