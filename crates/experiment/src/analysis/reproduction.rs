//! The `summary.json` files of the paper's reproductions.

use serde::{Deserialize, Serialize};

use crate::analysis::crossing::CrossingFound;
use crate::analysis::curvature::CurvatureFound;
use crate::analysis::exponents::Exponents;
use crate::analysis::toy::Toy;
use crate::analysis::transformer::Transformer;

/// The results of a reproduction, named by `kind` in JSON; a summary without a kind is a sweep's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reproduction {
    /// The single-layer theory.
    Exponents(Exponents),
    /// The teacher–student experiment.
    Toy(Toy),
    /// The crossings of the starts' loss curves.
    Crossing(CrossingFound),
    /// The best rates of decoders of several widths.
    Transformer(Transformer),
    /// The curvature at the starts, and the rates that it implies.
    Curvature(CurvatureFound),
}

impl Reproduction {
    /// The result as plain text.
    pub fn sentence(&self) -> String {
        match self {
            Self::Exponents(found) => found.sentence(),
            Self::Toy(found) => found.sentence(),
            Self::Crossing(found) => found.sentence(),
            Self::Transformer(found) => found.sentence(),
            Self::Curvature(found) => found.sentence(),
        }
    }
}
