//! The laboratory: an experiment's words turned into cohorts, trained, and told about as events.
//!
//! Nothing here reads a clock, a file or a terminal: an [`Observer`] does, be it a binary or a page.

mod begin;
pub mod calibrate;
mod curvature;
pub mod diagnose;
mod generate;
mod least;
mod residual;
mod room;
mod sweep;
pub mod toy;
pub mod train;
mod translate;
mod verify;

pub use crate::{device::MakeDevice, lab::calibrate::Phase};
pub use begin::{Begun, begin, check_memory};
pub use curvature::{Curvature, CurvatureError, Probed, curvature, curvature_bytes};
pub use generate::{GenerateError, Generator, Sampling};
pub use least::least_bytes;
pub use residual::{residual, residual_of};
pub use room::Room;
pub use sweep::{Listening, Observer, Snapshot, SnapshotError, Sweep, SweepError, Turn, columns};
pub use translate::adapters;
pub use verify::{Element, Kernel, State, Verdict, verify};
