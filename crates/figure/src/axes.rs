//! A rectangle with an axis on two sides.

use std::ops::Range;

use plotters::coord::CoordTranslate;
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::combinators::{IntoLogRange, LogCoord};
use plotters::coord::types::RangedCoordf64;
use plotters::style::Color;

use crate::FigureError;
use crate::canvas::{Canvas, Lettering, Place};
use crate::palette::{GREY, GRID, INK};
use crate::ticks;

/// Subdivisions of a pixel: plotters' scales compute in integers.
const FINENESS: f64 = 64.0;

/// The font size of the numbers along an axis and of legends, in pixels.
pub const SMALL: f64 = 12.5;
/// The font size of axis titles, in pixels.
pub const MEDIUM: f64 = 13.5;

/// The scale of the horizontal axis.
enum Scale {
    Logarithmic(Cartesian2d<LogCoord<f64>, LogCoord<f64>>),
    Linear(Cartesian2d<RangedCoordf64, LogCoord<f64>>),
}

/// A rectangle with axes; the vertical one is logarithmic.
pub struct Axes {
    /// The left and right edge, in pixels.
    pub across: Range<f64>,
    /// The upper and lower edge, in pixels.
    pub down: Range<f64>,
    values: (Range<f64>, Range<f64>),
    scale: Scale,
}

impl Axes {
    /// Axes with a logarithmic horizontal scale.
    pub fn logarithmic(across: Range<f64>, down: Range<f64>, x: Range<f64>, y: Range<f64>) -> Self {
        let scale = Cartesian2d::new(x.clone().log_scale(), y.clone().log_scale(), fine(&across, &down));
        Self { across, down, values: (x, y), scale: Scale::Logarithmic(scale) }
    }

    /// Axes with a linear horizontal scale.
    pub fn linear(across: Range<f64>, down: Range<f64>, x: Range<f64>, y: Range<f64>) -> Self {
        let scale = Cartesian2d::new(x.clone(), y.clone().log_scale(), fine(&across, &down));
        Self { across, down, values: (x, y), scale: Scale::Linear(scale) }
    }

    /// Round numbers between two values that the horizontal axis shows, with their labels.
    pub fn round(&self, low: f64, high: f64) -> Vec<(f64, String)> {
        let (low, high) = (low.max(self.values.0.start), high.min(self.values.0.end));
        let ticks = match self.scale {
            Scale::Logarithmic(_) => ticks::logarithmic(low, high),
            Scale::Linear(_) => ticks::linear(low, high),
        };
        ticks.into_iter().map(|tick| (tick, ticks::label(tick))).collect()
    }

    /// The position of a pair of values; values beyond the axes are moved to the edge.
    pub fn place(&self, x: f64, y: f64) -> Place {
        let values = (x.clamp(self.values.0.start, self.values.0.end), y.clamp(self.values.1.start, self.values.1.end));
        let (x, y) = match &self.scale {
            Scale::Logarithmic(scale) => scale.translate(&values),
            Scale::Linear(scale) => scale.translate(&values),
        };
        (f64::from(x) / FINENESS, f64::from(y) / FINENESS)
    }

    /// Draws grid, frame and numbers: those of `x_ticks` below, and round ones at the left if `y_numbers` is set.
    pub fn draw(&self, canvas: &Canvas<'_>, x_ticks: &[(f64, String)], y_numbers: bool) -> Result<(), FigureError> {
        let (left, right) = (self.across.start, self.across.end);
        let (top, bottom) = (self.down.start, self.down.end);
        let numbers = Lettering::new(SMALL, GREY);
        for tick in ticks::logarithmic(self.values.1.start, self.values.1.end) {
            let (_, y) = self.place(self.values.0.start, tick);
            canvas.path(&[(left, y), (right, y)], 1.0, GRID.to_rgba())?;
            if y_numbers {
                canvas.text(&ticks::label(tick), (left - 8.0, y), numbers.ending())?;
            }
        }
        for (tick, label) in x_ticks {
            let (x, _) = self.place(*tick, self.values.1.start);
            canvas.path(&[(x, top), (x, bottom)], 1.0, GRID.to_rgba())?;
            canvas.path(&[(x, bottom), (x, bottom + 5.0)], 1.0, INK.to_rgba())?;
            canvas.text(label, (x, bottom + 9.0), numbers.centred().below())?;
        }
        canvas.path(&[(left, top), (left, bottom), (right, bottom)], 1.25, INK.to_rgba())
    }

    /// Writes the title of the horizontal axis, below its numbers.
    pub fn x_title(&self, canvas: &Canvas<'_>, title: &str) -> Result<(), FigureError> {
        let middle = (self.across.start + self.across.end) / 2.0;
        canvas.text(title, (middle, self.down.end + 32.0), Lettering::new(MEDIUM, INK).centred().below())
    }

    /// Writes the title of the vertical axis, left of its numbers.
    pub fn y_title(&self, canvas: &Canvas<'_>, title: &str) -> Result<(), FigureError> {
        let middle = (self.down.start + self.down.end) / 2.0;
        canvas.text(title, (self.across.start - 54.0, middle), Lettering::new(MEDIUM, INK).centred().upwards())
    }
}

fn fine(across: &Range<f64>, down: &Range<f64>) -> (Range<i32>, Range<i32>) {
    let fine = |pixels: f64| (pixels * FINENESS).round() as i32;
    // Values grow upwards, pixels downwards.
    (fine(across.start)..fine(across.end), fine(down.end)..fine(down.start))
}

/// True if an axis can show a value: it is positive, and far enough from the limits of f64 that the margin beside it is finite and positive, too.
pub fn holds(value: f64) -> bool {
    (1e-290..=1e290).contains(&value)
}

/// A range around the values that an axis [can show](holds), with a margin for marks at both ends; `None` without such a value.
///
/// Values below a millionth of the largest, zero among them, do not extend it.
pub fn around(values: impl IntoIterator<Item = f64>, margin: f64) -> Option<Range<f64>> {
    let values: Vec<f64> = values.into_iter().filter(|value| holds(*value)).collect();
    let high = values.iter().copied().max_by(f64::total_cmp)?;
    let low = values.iter().copied().min_by(f64::total_cmp)?.max(high * 1e-6);
    let margin = (high / low).powf(margin).max(1.06);
    Some(low / margin..high * margin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_by_hand() {
        let axes = Axes::logarithmic(100.0..300.0, 0.0..90.0, 1e-3..1e-1, 1e-2..10.0);
        assert_eq!(axes.place(1e-3, 1e-2), (100.0, 90.0));
        assert_eq!(axes.place(1e-2, 1.0), (200.0, 30.0));
        assert_eq!(axes.place(1.0, 0.0), (300.0, 90.0));
        let axes = Axes::linear(0.0..100.0, 0.0..90.0, 0.0..200.0, 1e-2..10.0);
        assert_eq!(axes.place(50.0, 0.1), (25.0, 60.0));
    }

    #[test]
    fn ranges_hold_their_values_with_room() {
        let range = around([0.1, 10.0, f64::NAN, f64::INFINITY], 0.1).expect("there are values");
        assert!(range.start < 0.1 && range.start > 0.05 && range.end > 10.0 && range.end < 20.0);
        let flat = around([2.0], 0.1).expect("there is a value");
        assert!(flat.start < 2.0 && flat.end > 2.0);
        assert!(around([0.0, 1.0], 0.0).expect("there is a value").start > 1e-7);
        assert_eq!(around([f64::NAN], 0.1), None);
        // Values that a damaged file may hold do not give a range with non-finite ends.
        assert_eq!(around([2.0, 1e308, f64::MAX, 5e-324, -1e308], 0.1), around([2.0], 0.1));
    }
}
