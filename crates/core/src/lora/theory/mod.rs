//! The theory of how LoRA begins (Hayou, Ghosh and Yu 2024, arXiv 2406.08447), on the one layer it speaks of, in f64.
//!
//! The theory says how quantities grow with the width n, as powers: [`predicted`] has the exponents, [`trace()`] a layer to
//! measure them on, [`exponents()`] the fits, [`stable_rates`] the largest stable learning rate and what it owes to width and rank, [`law`] how
//! the best rate goes with them (muA).
//!
//! Formulas restated from the paper's §1–4 without its text at hand; the single-layer exponents were derived anew and hold numerically.

mod exponents;
mod layer;
mod mua;
mod stable;

pub use exponents::{Exponent, Grid, Measured, exponents, predicted};
pub use layer::{Layer, Optimizer, Step, trace};
pub use mua::{At, Law, law};
pub use stable::{Ranks, count as count_of_rates, stable_rates};
