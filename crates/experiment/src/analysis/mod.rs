//! Analysis: from results of runs to the best learning rate of each scheme, its interval, comparisons, reproductions, sentences and tables.
//!
//! This module uses `config`, `protocol` and `loralab-statistics`.

pub(crate) mod checkpoint;
pub(crate) mod crossing;
pub(crate) mod curvature;
pub(crate) mod exponents;
pub(crate) mod optimum;
pub(crate) mod record;
pub(crate) mod reproduction;
pub(crate) mod search;
pub(crate) mod sentences;
pub(crate) mod stopping;
pub(crate) mod summary;
pub(crate) mod toy;
pub(crate) mod transformer;
pub(crate) mod tuning;

pub use checkpoint::BestCheckpoint;
pub use crossing::{Crossing, CrossingFound, LossRatio, Pair};
pub use curvature::{CurvatureFound, StartCurvature};
pub use exponents::{ExponentCell, ExponentFit, Exponents, RateLaw, RateLawOf};
pub use optimum::{Comparison, FEWEST_EXAMPLES, Optimum};
pub use record::Record;
pub use reproduction::Reproduction;
pub use search::{Choice, RateSearch, Why};
pub use stopping::stops;
pub use summary::{Failure, RateSummary, SchemeSummary, Setting, Summary};
pub use toy::{Toy, ToyReadout, ToyRuns, ToySlope, ToyTrace, ToyWidth};
pub use transformer::{DecoderWidth, Transformer};
pub use tuning::{Allowance, Tuned, Work, comparison_steps, run_steps, winner};
