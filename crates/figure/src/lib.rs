//! Figures as SVG text, the same natively and in the page.
//!
//! [`loss_by_learning_rate()`] is the main figure of a sweep, [`training_curves()`] shows each scheme at its best rate, [`lora_features()`] the
//! diagnostics, [`spectra()`] the starts;
//! [`exponents()`] and [`stable_rates()`] belong to the theory, the `toy_` ones to the toy experiment, [`crossing()`] and [`transformer()`] to the
//! decoders. [`panels()`] draws most of them. [`results`] lists the files of a sweep, figures among them.
//!
//! Drawing and scales are plotters'; axes, legends and text are laid out here. Without a font engine plotters can only
//! guess the size of a text natively, and in a browser it asks the document, which a worker does not have and a strict
//! Content-Security-Policy forbids. So no text is ever measured: every text is aligned at a known position.

mod axes;
mod canvas;
mod crossing;
mod exponents;
mod lora_features;
mod loss_by_learning_rate;
mod palette;
mod panels;
pub mod results;
mod spectra;
mod ticks;
mod toy;
mod training_curves;

pub use crossing::{crossing, implied_rates, transformer, transformer_sweeps};
pub use exponents::{exponents, stable_rates};
pub use lora_features::lora_features;
pub use loss_by_learning_rate::{AT_THE_END, loss_by_learning_rate, loss_by_learning_rate_when};
pub use palette::{SCHEMES, mark_of};
pub use panels::{Line, Panel, PanelPoint, Panels, panels};
pub use spectra::spectra;
pub use toy::{toy_losses, toy_norms, toy_rates, toy_sweeps};
pub use training_curves::{training_curves, training_curves_at};

/// A figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// The figure as SVG text.
    pub svg: String,
    /// The positions of its values, for tooltips.
    pub spots: Vec<Spot>,
}

/// The position of a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Spot {
    /// From the left edge, in pixels of the figure's own width.
    pub x: f64,
    /// From the upper edge, in pixels of its height.
    pub y: f64,
    /// The text for this position.
    pub text: String,
}

/// The reasons that there is no figure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FigureError {
    /// The results hold nothing to draw.
    #[error("there is nothing to draw: {0}")]
    Nothing(&'static str),
    /// The drawing library failed.
    #[error("the figure could not be drawn: {0}")]
    Drawing(String),
}
