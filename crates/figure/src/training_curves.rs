//! Loss over steps, a panel for each scheme at its best learning rate.

use loralab_experiment::{BEGIN_ELSEWHERE, Cell, Curve, Point, SchemeSummary, Summary, learning_rate_text, loss_text};
use plotters::style::Color;

use crate::axes::{Axes, SMALL, around};
use crate::canvas::{self, Canvas, Lettering};
use crate::palette::{GREY, INK, Style, style_of};
use crate::ticks;
use crate::{Figure, FigureError};

const LEFT: f64 = 78.0;
const HEADING: f64 = 84.0;
const FOOT: f64 = 62.0;
const RIGHT: f64 = 20.0;
const PANEL_HEIGHT: f64 = 280.0;
/// Space between panels, for the title and the numbers of the lower one.
const BETWEEN_ROWS: f64 = 62.0;
const BETWEEN_COLUMNS: f64 = 34.0;
const COLUMNS: usize = 3;
/// The most points of a drawn training curve; longer ones are averaged in pieces.
const MOST_POINTS: usize = 250;

/// The most training curves drawn in a panel: thousands of lines are one area, and take seconds.
const MOST_CURVES: usize = 32;

/// A scheme at its best learning rate.
struct Panel<'a> {
    title: String,
    style: Style,
    curves: Vec<&'a Curve>,
    /// The data that its start read before the first step, in steps.
    start: f64,
    /// True if the base is the model at step 0.
    at_base: bool,
}

/// Loss over optimiser steps, a panel for each scheme at its best learning rate, all on the same scales: the training
/// loss of each seed, or of some if there are many (light; over long trainings averaged over several steps), the validation loss averaged over seeds
/// (dark, with bars from the lowest to the highest seed; it starts at the base if the scheme does), and the base alone (dashed). The horizontal axis includes
/// a start that read data: its curves begin after as many steps as read as much.
///
/// # Errors
/// [`FigureError::Nothing`] when no scheme has a best learning rate with a curve.
pub fn training_curves(summary: &Summary, curves: &[Curve]) -> Result<Figure, FigureError> {
    draw("Training at each scheme's best learning rate", summary, curves, |scheme| scheme.best_learning_rate)
}

/// The same figure with every scheme at one learning rate.
///
/// # Errors
/// [`FigureError::Nothing`] when no scheme has a curve at that rate.
pub fn training_curves_at(rate: f64, summary: &Summary, curves: &[Curve]) -> Result<Figure, FigureError> {
    let title = format!("Training at the learning rate {}", learning_rate_text(rate));
    draw(&title, summary, curves, |_| Some(rate))
}

fn draw(
    title: &str,
    summary: &Summary,
    curves: &[Curve],
    rate: impl Fn(&SchemeSummary) -> Option<f64>,
) -> Result<Figure, FigureError> {
    let panels: Vec<Panel> = summary
        .schemes
        .iter()
        .filter_map(|scheme| {
            let rate = rate(scheme)?;
            let of_panel = |curve: &&Curve| {
                curve.cell.scheme == scheme.scheme
                    && curve.cell.learning_rate == rate
                    && !(curve.training.is_empty() && curve.validation.is_empty())
            };
            let curves: Vec<_> = curves.iter().filter(of_panel).collect();
            let title = format!("{} at {}", scheme.scheme, learning_rate_text(rate));
            let start = scheme.start.map_or(0.0, |start| start.steps);
            let at_base = !BEGIN_ELSEWHERE.contains(&&*scheme.scheme);
            (!curves.is_empty()).then(|| Panel { title, style: style_of(&scheme.scheme), curves, start, at_base })
        })
        .collect();
    let base = summary.setting.base_loss;
    let points = || {
        panels.iter().flat_map(|panel| &panel.curves).flat_map(|curve| curve.training.iter().chain(&curve.validation))
    };
    let y = around(points().map(|point| point.loss).chain(base), 0.05)
        .filter(|_| !panels.is_empty())
        .ok_or(FigureError::Nothing("no scheme has losses that were recorded at its learning rate."))?;
    let latest = panels.iter().map(|panel| panel.start).fold(0.0, f64::max);
    let steps = points().map(|point| point.step).max().unwrap_or(0).max(1) as f64 + latest;
    let x_title = if latest > 0.0 { "optimiser step, after what the start read" } else { "optimiser step" };

    let columns = panels.len().min(COLUMNS);
    let rows = panels.len().div_ceil(columns);
    let panel_width = match columns {
        1 => 560.0,
        2 => 360.0,
        _ => 280.0,
    };
    let width = LEFT + columns as f64 * (panel_width + BETWEEN_COLUMNS) - BETWEEN_COLUMNS + RIGHT;
    let height = HEADING + rows as f64 * (PANEL_HEIGHT + BETWEEN_ROWS) - BETWEEN_ROWS + FOOT;
    canvas::draw((width, height), title, &summary.sentence(), |canvas| {
        canvas.text(title, (LEFT, 22.0), Lettering::new(17.0, INK).bold())?;
        let all = panels.iter().all(|panel| panel.curves.len() <= MOST_CURVES);
        draw_legend(canvas, base.is_some(), if all { "training, each seed" } else { "training, some seeds" })?;
        for (place, panel) in panels.iter().enumerate() {
            let (row, column) = (place / columns, place % columns);
            let left = LEFT + column as f64 * (panel_width + BETWEEN_COLUMNS);
            let top = HEADING + row as f64 * (PANEL_HEIGHT + BETWEEN_ROWS);
            let axes = Axes::linear(left..left + panel_width, top..top + PANEL_HEIGHT, 0.0..steps, y.clone());
            let step_ticks: Vec<_> =
                ticks::linear(0.0, steps).into_iter().map(|tick| (tick, ticks::label(tick))).collect();
            axes.draw(canvas, &step_ticks, column == 0)?;
            if column == 0 {
                axes.y_title(canvas, &format!("loss ({})", summary.loss_unit()))?;
            }
            // Only the lowest panel of each column has a title below.
            if place + columns >= panels.len() {
                axes.x_title(canvas, x_title)?;
            }
            canvas.text(&panel.title, (left, top - 12.0), Lettering::new(SMALL, INK).bold())?;
            draw_panel(canvas, &axes, panel, base)?;
        }
        Ok(())
    })
}

fn draw_panel(canvas: &Canvas<'_>, axes: &Axes, panel: &Panel<'_>, base: Option<f64>) -> Result<(), FigureError> {
    let Style { colour, .. } = panel.style;
    let place = |step: f64, loss: f64| axes.place(step + panel.start, loss);
    if let Some(base) = base {
        let (_, y) = axes.place(0.0, base);
        canvas.dashed(&[(axes.across.start, y), (axes.across.end, y)], 1.5, GREY)?;
    }
    for curve in panel.curves.iter().step_by(panel.curves.len().div_ceil(MOST_CURVES)) {
        let points = thinned(&curve.training);
        let places: Vec<_> = points.iter().map(|&(step, loss)| place(step, loss)).collect();
        for (&at, (step, loss)) in places.iter().zip(points) {
            let Cell { scheme, seed, .. } = &curve.cell;
            let text = format!("{scheme}, seed {seed}, step {}: training {}", step.round(), loss_text(loss));
            canvas.spot(at, text);
        }
        canvas.path(&places, 1.25, colour.mix(0.35))?;
    }
    // (step, lowest, mean, highest), with the base at step 0 if it is known and the scheme starts there.
    let start = base.filter(|_| panel.at_base).map(|loss| (0.0, loss, loss, loss));
    let rows: Vec<_> = start.into_iter().chain(validations(&panel.curves)).collect();
    let means: Vec<_> = rows.iter().map(|&(step, _, mean, _)| place(step, mean)).collect();
    if let (Some(base), true) = (base, panel.start > 0.0) {
        canvas.path(&[axes.place(0.0, base), place(0.0, base)], 2.25, colour.mix(0.5))?;
        let text = format!("{}: what the start reads, as much as {} steps do", panel.title, panel.start.round());
        canvas.spot(axes.place(panel.start / 2.0, base), text);
    }
    canvas.path(&means, 2.25, colour.to_rgba())?;
    for (&at, &(step, lowest, mean, highest)) in means.iter().zip(&rows) {
        let spread = if highest > lowest {
            format!(" ({} to {})", loss_text(lowest), loss_text(highest))
        } else {
            String::new()
        };
        canvas.spot(at, format!("{}, {step} steps: validation {}{spread}", panel.title, loss_text(mean)));
    }
    // Marks on every validation of a dense curve would hide it.
    let every = rows.len().div_ceil(16).max(1);
    for &(step, lowest, mean, highest) in rows.iter().rev().step_by(every) {
        canvas.path(&[place(step, lowest), place(step, highest)], 1.5, colour.to_rgba())?;
        canvas.mark(place(step, mean), 4.0, panel.style)?;
    }
    Ok(())
}

fn draw_legend(canvas: &Canvas<'_>, base: bool, training: &str) -> Result<(), FigureError> {
    const Y: f64 = 46.0;
    let text = Lettering::new(SMALL, INK);
    canvas.path(&[(LEFT, Y), (LEFT + 24.0, Y)], 1.25, GREY.mix(0.5))?;
    canvas.text(training, (LEFT + 30.0, Y), text)?;
    let validation = LEFT + 172.0;
    canvas.path(&[(validation, Y), (validation + 24.0, Y)], 2.25, GREY.to_rgba())?;
    canvas.text("validation, seed mean", (validation + 30.0, Y), text)?;
    if base {
        let left = validation + 186.0;
        canvas.dashed(&[(left, Y), (left + 24.0, Y)], 1.5, GREY)?;
        canvas.text("base alone", (left + 30.0, Y), text)?;
    }
    Ok(())
}

/// The points of a curve as (step, loss), averaged in equal pieces if there are too many to draw.
fn thinned(points: &[Point]) -> Vec<(f64, f64)> {
    let piece = points.len().div_ceil(MOST_POINTS).max(1);
    let mean = |values: &[Point], of: fn(&Point) -> f64| values.iter().map(of).sum::<f64>() / values.len() as f64;
    points
        .chunks(piece)
        .map(|piece| (mean(piece, |point| point.step as f64), mean(piece, |point| point.loss)))
        .collect()
}

/// Step and lowest, mean and highest validation loss of the seeds, by rising step.
fn validations(curves: &[&Curve]) -> Vec<(f64, f64, f64, f64)> {
    let mut steps = std::collections::BTreeMap::<usize, Vec<f64>>::new();
    // The base's own validation is drawn from the summary.
    for point in curves.iter().flat_map(|curve| &curve.validation).filter(|point| point.step > 0) {
        steps.entry(point.step).or_default().push(point.loss);
    }
    let row = |(step, losses): (usize, Vec<f64>)| {
        let lowest = losses.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = losses.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (step as f64, lowest, losses.iter().sum::<f64>() / losses.len() as f64, highest)
    };
    steps.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_curves_are_averaged_and_short_ones_kept() {
        let points: Vec<_> = (1..=500).map(|step| Point { step, loss: (step % 2) as f64 }).collect();
        let thin = thinned(&points);
        assert_eq!((thin.len(), thin[0]), (250, (1.5, 0.5)));
        assert_eq!(thinned(&points[..3]), [(1.0, 1.0), (2.0, 0.0), (3.0, 1.0)]);
        assert_eq!(thinned(&[]), []);
    }

    #[test]
    fn seeds_are_averaged_step_by_step() {
        let curve = |losses: &[(usize, f64)]| Curve {
            cell: Cell { scheme: "init-a".to_owned(), learning_rate: 1e-3, seed: 0 },
            training: vec![],
            validation: losses.iter().map(|&(step, loss)| Point { step, loss }).collect(),
            diverged: None,
            snapshots: vec![],
        };
        let (one, other) = (curve(&[(0, 9.0), (10, 2.0), (20, 1.0)]), curve(&[(10, 4.0)]));
        assert_eq!(validations(&[&one, &other]), [(10.0, 2.0, 3.0, 4.0), (20.0, 1.0, 1.0, 1.0)]);
    }
}
