//! Training: a cohort of adapters over one base, and the pretraining of a base.

mod cohort;
mod initial;
mod pretrain;
mod state;

pub use cohort::{Cohort, CohortError, Run, StepOutcome, Validation, validate};
pub use initial::{Initial, layers, start, tensor, weight};
use loralab_data::Batch;
pub use pretrain::{Pretraining, pretrain};

pub use state::{CohortState, StateError};

use crate::device::Input;

impl<'a> From<&'a Batch> for Input<'a> {
    fn from(batch: &'a Batch) -> Self {
        Input { tokens: &batch.tokens, targets: &batch.targets, weights: &batch.weights, ..Input::default() }
    }
}
