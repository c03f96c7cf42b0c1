//! Training: a cohort of adapters over one base, and the pretraining of a base.

mod cohort;
mod pretrain;
mod state;

pub use cohort::{Cohort, CohortError, Run, StepOutcome, Validation, start, validate};
use loralab_data::Batch;
pub use pretrain::{Pretraining, pretrain};

pub use state::{CohortState, StateError};

use crate::device::Input;

impl<'a> From<&'a Batch> for Input<'a> {
    fn from(batch: &'a Batch) -> Self {
        Input { tokens: &batch.tokens, targets: &batch.targets, weights: &batch.weights, ..Input::default() }
    }
}
