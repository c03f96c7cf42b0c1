//! Init\[AB\]: both factors are random, so both have a gradient at the first step.
//!
//! Both bounds are 1/√inputs, B's too: with its own fan-in, the rank, the product would start √(inputs/rank) larger.

use loralab_linalg::Law;

use super::choice::{AnyChoice, Choice, Domain};
use super::{Begins, Layer, Rule, Scheme, Trains};

/// β: both bounds, as a multiple of 1/√inputs.
const BETA: Choice<f64> = Choice::number("beta", "both bounds, in multiples of 1/√inputs", 1.0, Domain::Positive);

/// Init\[AB\], whose first output differs from the base model's by a little noise.
pub(super) static INIT_AB: Scheme = Scheme {
    name: "init-ab",
    about: "A and B are uniform within ±1/√inputs; the start is the base model plus a little noise",
    source: "Li et al. 2025, Beyond Zero Initialization, arXiv 2505.23194, Init[AB]",
    rule: Rule::Fill(laws),
    begins: Begins::Elsewhere,
    frozen_pair: false,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: false,
    options: &[AnyChoice::Number(&BETA)],
};

/// Init\[AB\] with its first product subtracted, so that it starts at the base model.
pub(super) static INIT_AB_SUBTRACT: Scheme = Scheme {
    name: "init-ab-subtract",
    about: "the draw of init-ab with its product subtracted; the start is exactly the base model",
    source: "Li et al. 2025, Beyond Zero Initialization, arXiv 2505.23194, Init[AB+]",
    rule: Rule::Fill(laws),
    begins: Begins::AtBase,
    frozen_pair: true,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: false,
    options: &[AnyChoice::Number(&BETA)],
};

fn laws(layer: &Layer<'_>) -> [Law; 2] {
    [Layer::kaiming_uniform(layer.value(&BETA) as f32, layer.inputs); 2]
}
