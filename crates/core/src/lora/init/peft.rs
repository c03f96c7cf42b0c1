//! What PEFT's `init_lora_weights` gives without data, under names of its own: `peft-default` is `True`, `peft-gaussian` is `"gaussian"`,
//! `peft-false` is `False`. The laws are PEFT's, the numbers ours.

use loralab_linalg::Law;

use super::{Begins, Layer, Rule, Scheme, Trains, init_a};

/// `init_lora_weights=True`.
pub(super) static DEFAULT: Scheme = Scheme {
    name: "peft-default",
    about: "what PEFT does unless told otherwise; the same as init-a-kaiming",
    source: "PEFT, init_lora_weights=True: Kaiming's uniform law with a = √5",
    rule: Rule::Fill(init_a::kaiming),
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
    rule: Rule::Fill(gaussian),
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
    rule: Rule::Fill(both),
    begins: Begins::Elsewhere,
    frozen_pair: false,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: false,
    options: &[],
};

fn gaussian(layer: &Layer<'_>) -> [Law; 2] {
    // A deviation of 1/R is a variance of 1/R².
    [Layer::gaussian(layer.rank * layer.rank), Law::Zeros]
}

fn both(layer: &Layer<'_>) -> [Law; 2] {
    [layer.inputs, layer.rank].map(|fan_in| Layer::kaiming_uniform(1.0, fan_in))
}
