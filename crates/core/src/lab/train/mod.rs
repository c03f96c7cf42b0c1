//! Training: a cohort of adapters over one base, and the pretraining of a base.

mod cohort;
mod initial;
mod pretrain;
mod state;

use std::ops::Range;

use crate::graph::memory::InputName;
pub use cohort::{Cohort, CohortError, Run, StepOutcome, Validation, validate, validate_in_groups};
pub use initial::{Initial, layers, start, tensor, weight};
use loralab_data::Batch;
pub use pretrain::{PretrainError, Pretrained, Pretraining, pretrain};

pub use state::{CohortState, StateError};

use crate::device::Inputs;

/// Some rows of a batch, with their weights.
fn rows_of(batch: &Batch, rows: Range<usize>) -> Inputs<'_> {
    let mut inputs = Inputs::new()
        .with(InputName::Tokens, &batch.tokens[rows.clone()])
        .with(InputName::Targets, &batch.targets[rows.clone()])
        .with(InputName::Weights, &batch.weights[rows.clone()]);
    // Rows that a batch of a dataset of another kind lacks.
    for (name, all) in [
        (InputName::Segments, &batch.segments),
        (InputName::Positions, &batch.positions),
        (InputName::TokenTypes, &batch.types),
    ] {
        if let Some(given) = all.get(rows.clone()) {
            inputs = inputs.with(name, given);
        }
    }
    match batch.expected.get(rows) {
        Some(expected) => inputs.with(InputName::Expected, expected),
        None => inputs,
    }
}

impl<'a> From<&'a Batch> for Inputs<'a> {
    fn from(batch: &'a Batch) -> Self {
        rows_of(batch, 0..batch.tokens.len())
    }
}
