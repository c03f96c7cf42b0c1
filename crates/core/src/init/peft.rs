//! What PEFT's `init_lora_weights` gives without data, under names of its own: `peft-default` is `True`, `peft-gaussian` is `"gaussian"`,
//! `peft-false` is `False`. The laws are PEFT's, the numbers ours.

use super::Factor::{A, B};
use super::{Begins, Layer, Rule, Scheme, Start, StartError, Trains, init_a};

/// `init_lora_weights=True`.
pub(super) static DEFAULT: Scheme = Scheme {
    name: "peft-default",
    about: "what PEFT does unless told otherwise; the same as init-a-kaiming",
    source: "PEFT, init_lora_weights=True: Kaiming's uniform law with a = √5",
    rule: Rule::Draw(init_a::kaiming),
    begins: Begins::AtBase,
    frozen_pair: false,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: false,
    options: &[],
};

/// `init_lora_weights="gaussian"`.
pub(super) static GAUSSIAN: Scheme = Scheme {
    name: "peft-gaussian",
    about: "A is normal with standard deviation 1/rank, whatever the width; B is zero",
    source: "PEFT, init_lora_weights=\"gaussian\", after the LoRA of the Diffusers library",
    rule: Rule::Draw(gaussian),
    begins: Begins::AtBase,
    frozen_pair: false,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: false,
    options: &[],
};

/// `init_lora_weights=False`.
pub(super) static FALSE: Scheme = Scheme {
    name: "peft-false",
    about: "A is uniform within ±1/√inputs, B within ±1/√rank; the start is far from the base model",
    source: "PEFT, init_lora_weights=False, which it means for tests",
    rule: Rule::Draw(both),
    begins: Begins::Elsewhere,
    frozen_pair: false,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: false,
    options: &[],
};

fn gaussian(layer: &Layer<'_>, seed: u64) -> Result<Start, StartError> {
    // A deviation of 1/R is a variance of 1/R².
    Ok(Start { a: layer.gaussian(A, seed, layer.rank * layer.rank), b: layer.zeros(B), frozen: None })
}

fn both(layer: &Layer<'_>, seed: u64) -> Result<Start, StartError> {
    Ok(Start {
        a: layer.kaiming_uniform(A, seed, layer.inputs),
        b: layer.kaiming_uniform(B, seed, layer.rank),
        frozen: None,
    })
}
