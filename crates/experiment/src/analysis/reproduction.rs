//! What the reproductions of the paper write as `summary.json`.

use serde::{Deserialize, Serialize};

use crate::analysis::crossing::CrossingFound;
use crate::analysis::curvature::CurvatureFound;
use crate::analysis::exponents::Exponents;
use crate::analysis::toy::Toy;
use crate::analysis::transformer::Transformer;

/// What was reproduced, named by `kind` in JSON; a summary without a kind is a sweep's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reproduction {
    /// The single-layer theory.
    Exponents(Exponents),
    /// The teacher–student experiment.
    Toy(Toy),
    /// Where the curves of the starts cross.
    Crossing(CrossingFound),
    /// The best rates of decoders of several widths.
    Transformer(Transformer),
    /// The curvature at the starts, and the rates it implies.
    Curvature(CurvatureFound),
}

impl Reproduction {
    /// What was found, in plain words.
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
