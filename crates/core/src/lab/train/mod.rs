//! Training: a cohort of adapters over one base, and the pretraining of a base.

mod cohort;
mod initial;
mod pretrain;
mod state;

use crate::graph::memory::InputName;
pub use cohort::{Cohort, CohortError, Run, StepOutcome, Validation, validate, validate_in_groups};
pub use initial::{Initial, layers, start, tensor, weight};
use loralab_data::Batch;
pub use pretrain::{Pretraining, pretrain};

pub use state::{CohortState, StateError};

use crate::device::Inputs;

impl<'a> From<&'a Batch> for Inputs<'a> {
    fn from(batch: &'a Batch) -> Self {
        Inputs::new()
            .with(InputName::Tokens, &batch.tokens)
            .with(InputName::Targets, &batch.targets)
            .with(InputName::Weights, &batch.weights)
            .with(InputName::Segments, &batch.segments)
            .with(InputName::Positions, &batch.positions)
    }
}
