//! A start that is given: the values of an adapter that was trained before, here or by PEFT, and is trained further.
//!
//! The scheme is not among [`ALL`](super::ALL), since no sweep compares it: a training names the adapter, and gets its values.

use super::{Begins, Layer, Rule, Scheme, Start, StartError, Trains};

/// The scheme of a given adapter.
pub static GIVEN: Scheme = Scheme {
    name: "adapter",
    about: "the values of an adapter that was trained before",
    source: "the adapter itself",
    rule: Rule::Draw(none),
    begins: Begins::Elsewhere,
    frozen_pair: false,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: false,
    options: &[],
};

fn none(_: &Layer<'_>, _: u64) -> Result<Start, StartError> {
    Err(StartError::NoAdapter { scheme: GIVEN.name })
}
