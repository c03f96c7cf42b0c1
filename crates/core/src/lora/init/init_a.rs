//! Init\[A\]: A is random, B is zero. The adapter's product is 0, and at the first step only B has a gradient.

use loralab_linalg::Law;

use super::{Begins, Layer, Rule, Scheme, Trains};

/// Init\[A\] as the theory has it.
pub(super) static INIT_A: Scheme = Scheme {
    name: "init-a",
    about: "A is normal with variance 1/inputs, B is zero",
    source: "Hayou, Ghosh, Yu 2024, The Impact of Initialization on LoRA Finetuning Dynamics, arXiv 2406.08447, Init[A]",
    rule: Rule::Fill(gaussian),
    begins: Begins::AtBase,
    frozen_pair: false,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: false,
    options: &[],
};

/// Init\[A\] as PEFT has it.
pub(super) static INIT_A_KAIMING: Scheme = Scheme {
    name: "init-a-kaiming",
    about: "A is uniform within ±1/√inputs (variance 1/(3·inputs)), B is zero: PEFT's default",
    source: "Hu et al. 2021, LoRA, arXiv 2106.09685, section 4.1, as PEFT implements it (init_lora_weights=True)",
    rule: Rule::Fill(kaiming),
    begins: Begins::AtBase,
    frozen_pair: false,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: false,
    options: &[],
};

fn gaussian(layer: &Layer<'_>) -> [Law; 2] {
    [Layer::gaussian(layer.inputs), Law::Zeros]
}

pub(super) fn kaiming(layer: &Layer<'_>) -> [Law; 2] {
    [Layer::kaiming_uniform(1.0, layer.inputs), Law::Zeros]
}
