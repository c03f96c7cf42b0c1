//! Init\[B\]: A is zero, B is random. The adapter's product is 0, and at the first step only A has a gradient.

use loralab_linalg::Law;

use super::{Begins, Layer, Rule, Scheme, Trains};

/// Init\[B\] as the theory has it.
pub(super) static INIT_B: Scheme = Scheme {
    name: "init-b",
    about: "A is zero, B is normal with variance 1/rank",
    source: "Hayou, Ghosh, Yu 2024, The Impact of Initialization on LoRA Finetuning Dynamics, arXiv 2406.08447, Init[B]",
    rule: Rule::Fill(gaussian),
    begins: Begins::AtBase,
    frozen_pair: false,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: false,
    options: &[],
};

/// Init\[B\] with the law that `init-a-kaiming` uses.
pub(super) static INIT_B_KAIMING: Scheme = Scheme {
    name: "init-b-kaiming",
    about: "A is zero, B is uniform within ±1/√rank (variance 1/(3·rank))",
    source: "Hayou, Ghosh, Yu 2024, arXiv 2406.08447, Init[B], drawn by Kaiming's uniform law as PEFT draws its A",
    rule: Rule::Fill(kaiming),
    begins: Begins::AtBase,
    frozen_pair: false,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: false,
    options: &[],
};

fn gaussian(layer: &Layer<'_>) -> [Law; 2] {
    [Law::Zeros, Layer::gaussian(layer.rank)]
}

fn kaiming(layer: &Layer<'_>) -> [Law; 2] {
    [Law::Zeros, Layer::kaiming_uniform(1.0, layer.rank)]
}
