//! What a few seeds allow to say, and what they do not.
//!
//! An estimate is computed from all seeds; its standard error is that of the same estimate over [`resamples`] of the
//! seeds, everything chosen again in each; and the interval is Student's, so that two seeds give a wide one.
//!
//! - [`valley()`] is the lowest place of a curve, between the points that were tried.
//! - [`slope`] is that of a least-squares line; in logarithms, an exponent.
//! - [`standard_errors`] and [`interval`] say how far off an estimate may be.

mod bootstrap;
mod line;
mod student;
mod valley;

pub use bootstrap::{resamples, standard_errors};
pub use line::{mean, slope, standard_error};
pub use student::{interval, interval_of_mean, interval_of_range, quantile};
pub use valley::{Valley, valley};

/// The level of every interval unless another is named.
pub const LEVEL: f64 = 0.95;
