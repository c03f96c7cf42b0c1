//! Diagnostics of a run's adapters, measured on a second, small device beside a cohort's.

mod measures;
mod probes;

pub use measures::{BaseGradient, Lens, Moment, diagnose, kl_from_base};
pub use probes::{Probes, Seen};
