//! Diagnostics: what goes on inside the adapters of a run, measured by a second, small device beside a cohort's.

mod measures;
mod probes;

pub use measures::{BaseGradient, Lens, Moment, diagnose, kl_from_base};
pub use probes::{Probes, Seen};
