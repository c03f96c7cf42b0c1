//! The laboratory: the settings of an experiment turned into cohorts, which are trained and reported as events.
//!
//! Nothing here reads a clock, a file or a terminal: an [`Observer`] does, in a binary or in a page.

pub mod calibrate;
mod curvature;
pub mod diagnose;
mod evaluate;
mod generate;
mod least;
mod plan_needs;
mod prepare;
mod residual;
mod start;
mod sweep;
pub mod toy;
pub mod train;
mod translate;
mod verify;

pub use crate::{device::MakeDevice, lab::calibrate::Phase};
pub use curvature::{Curvature, CurvatureError, Probed, curvature, curvature_bytes};
pub use evaluate::{Evaluator, Question, exact_matches, questions};
pub use generate::{GenerateError, Generator, Request, Sampling};
pub use least::least_bytes;
pub use plan_needs::PlanNeeds;
pub use prepare::{DataError, DataFile, Prepared, data, for_labels, reader, resolve, wanted};
pub use residual::{residual, residual_of};
pub use start::{AdapterStart, check_memory, compute_start};
pub use sweep::{
    Checkpoint, Fit, Listening, Observer, Saving, Snapshot, SnapshotError, Sweep, SweepError, Turn, columns,
};
pub use translate::{LengthError, adapted, adapters, check_length, quantiser};
pub use verify::{Element, Kernel, State, Verdict, verify};
