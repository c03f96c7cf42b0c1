//! HRP: a short training at a higher rank finds the directions in which A should read, and is then forgotten.
//!
//! An adapter of rank 8R starts by Init\[A\] and is trained for a twentieth of the steps, at the run's own learning rate. A is the first R right singular vectors
//! of its product, B is zero, and training begins anew, with the moments of the optimiser at zero. Rows of norm 1 give A the norm √R that Init\[A\] has on
//! average, so that only its directions change.
//!
//! The source fixes that the preheated weights give the initial direction of A alone; its rank, steps and scale could not be read, so 8R, a twentieth and
//! √R are ours. Its steps come on top of the run's, unless `counted` takes them off; on the record they are the cost of the start.

use loralab_linalg::{Mat, Svd};

use super::choice::{Choice, Domain};
use super::{Begins, Layer, Rule, Scheme, Start, StartError, Trains, calibration::strength};

/// The rank of the preheated adapter.
const RANKS: Choice = Choice {
    name: "ranks",
    about: "the rank of the training that comes before, in multiples of the run's",
    default: 8.0,
    domain: Domain::Whole(1, 64),
};
/// How long it is trained.
const SHARE: Choice = Choice {
    name: "share",
    about: "the steps of the training that comes before, as a share of the run's",
    default: 0.05,
    domain: Domain::Share,
};

/// Whether they are part of the run's.
const COUNTED: Choice = Choice {
    name: "counted",
    about: "whether those steps are taken off the run's (1) or come on top (0)",
    default: 0.0,
    domain: Domain::Whole(0, 1),
};

/// High-rank preheating.
pub(super) static HRP: Scheme = Scheme {
    name: "hrp",
    about: "A is the directions that a short training at eight times the rank finds; B is zero",
    source: "Chen et al. 2025, HRP, arXiv 2502.07739, with rank and steps of our own",
    rule: Rule::Preheat { start, ranks: RANKS.default as usize, share: SHARE.default, counted: false },
    begins: Begins::AtBase,
    frozen_pair: false,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: false,
    options: &[RANKS, SHARE, COUNTED],
};

fn start(layer: &Layer<'_>, product: &Svd) -> Result<Start, StartError> {
    strength(HRP.name, layer, product)?;
    let count = layer.rank.min(product.s.len());
    let a = product.v.subcols(0, count).transpose();
    Ok(layer.padded(a, Mat::zeros(layer.outputs, count).as_ref()))
}
