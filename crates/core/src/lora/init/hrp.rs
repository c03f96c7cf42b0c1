//! HRP: a short training at a higher rank finds the directions for A, and is then discarded.
//!
//! An adapter of rank 8R starts by Init\[A\] and is trained for a twentieth of the steps, at the run's own learning rate. A is the first R right singular vectors
//! of its product, B is zero, and training starts anew, with the moments of the optimiser at zero. Rows of norm 1 give A the norm √R that Init\[A\] has on
//! average, so that only its directions change.
//!
//! The source specifies that the preheated weights give the initial direction of A alone; its rank, steps and scale could not be read, so 8R, a twentieth and
//! √R are ours. Its steps are added to the run's, unless `counted` subtracts them; the record counts them as the cost of the start.

use loralab_linalg::{Mat, Svd};

use super::choice::{AnyChoice, Choice, Domain};
use super::{Begins, Layer, Rule, Scheme, Start, StartError, Trains, calibration::strength};

/// The rank of the preheated adapter, as a multiple of R.
const RANKS: Choice<usize> =
    Choice::count("ranks", "the rank of the training that comes before, in multiples of the run's", 8, [1, 64]).sets(
        |rule, value| {
            if let Rule::Preheat { ranks, .. } = rule {
                *ranks = value;
            }
        },
    );
/// The steps of the preheat, as a share of the run's.
const SHARE: Choice<f64> = Choice::number(
    "share",
    "the steps of the training that comes before, as a share of the run's",
    0.05,
    Domain::Share,
)
.sets(|rule, value| {
    if let Rule::Preheat { share, .. } = rule {
        *share = value;
    }
});

/// True if the preheat's steps are part of the run's steps.
const COUNTED: Choice<bool> =
    Choice::switch("counted", "whether those steps are taken off the run's (1) or come on top (0)").sets(
        |rule, value| {
            if let Rule::Preheat { counted, .. } = rule {
                *counted = value;
            }
        },
    );

/// High-rank preheating.
pub(super) static HRP: Scheme = Scheme {
    name: "hrp",
    about: "A is the directions that a short training at eight times the rank finds; B is zero",
    source: "Chen et al. 2025, HRP, arXiv 2502.07739, with rank and steps of our own",
    rule: Rule::Preheat { start, ranks: RANKS.default, share: SHARE.default, counted: COUNTED.default },
    begins: Begins::AtBase,
    frozen_pair: false,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: false,
    options: &[AnyChoice::Count(&RANKS), AnyChoice::Number(&SHARE), AnyChoice::Switch(&COUNTED)],
};

fn start(layer: &Layer<'_>, product: &Svd) -> Result<Start, StartError> {
    strength(HRP.name, layer, product)?;
    let count = layer.rank.min(product.s.len());
    let a = product.v.subcols(0, count).transpose();
    Ok(layer.padded(a, Mat::zeros(layer.outputs, count).as_ref()))
}
