//! Estimates from a few seeds, with standard errors and confidence intervals.
//!
//! An estimate is computed from all seeds. Its standard error is that of the same estimate over [`resamples`] of the
//! seeds, with every choice repeated in each. The interval is Student's, so that two seeds give a wide one.
//!
//! - [`valley()`] estimates the minimum of a curve between the points of a grid.
//! - [`slope`] is the slope of a least-squares line; for logarithms, an exponent.
//! - [`standard_errors`] and [`interval`] give the uncertainty of an estimate.

mod bootstrap;
mod line;
mod student;
mod valley;

pub use bootstrap::{resamples, standard_errors};
pub use line::{mean, slope, standard_error};
pub use student::{interval, interval_of_mean, interval_of_range, quantile};
pub use valley::{Valley, valley};

/// Default confidence level of intervals.
pub const LEVEL: f64 = 0.95;
