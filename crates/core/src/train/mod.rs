//! Training: a cohort of adapters over one base, and the pretraining of a base.

mod cohort;
mod pretrain;

pub use cohort::{Cohort, Run, StepOutcome, Validation, start, validate};
pub use pretrain::{Pretraining, pretrain};
