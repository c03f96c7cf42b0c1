//! The LoRA features Z_A and Z_B over steps, a panel for each run.

use loralab_experiment::{Cell, Curve, Diagnosis, learning_rate_text, loss_text};
use plotters::style::Color;

use crate::axes::{Axes, SMALL, around};
use crate::canvas::{self, Canvas, Lettering, Place};
use crate::palette::{GREY, INK, Style, style_of};
use crate::ticks;
use crate::{Figure, FigureError};

const LEFT: f64 = 78.0;
const HEADING: f64 = 84.0;
const FOOT: f64 = 62.0;
/// Space beside the last panel, for the names of its lines.
const RIGHT: f64 = 40.0;
const PANEL_HEIGHT: f64 = 240.0;
/// Space between panels, for the title and the numbers of the lower one.
const BETWEEN_ROWS: f64 = 62.0;
/// Space between panels, for the names of the lines of the left one.
const BETWEEN_COLUMNS: f64 = 46.0;
const COLUMNS: usize = 3;
/// The most marks of a line.
const MARKS: usize = 16;
/// Names of lines whose ends are nearer than this are moved apart, in pixels.
const NAME_HEIGHT: f64 = 15.0;

/// Steps with the smallest, middle and largest value over adapters.
type Band = Vec<(f64, [f64; 3])>;

/// A quantity of an adapter, by its name in the figure.
type Quantity = (&'static str, fn(&Diagnosis) -> f64);

/// The quantities that are drawn; the second is dashed.
const QUANTITIES: [Quantity; 2] = [("Z_A", |adapter| adapter.z_a), ("Z_B", |adapter| adapter.z_b)];

/// Root mean square of the LoRA features Z_A = A x (solid) and Z_B = s B Z_A (dashed) over optimiser steps, a panel for each run, all on the same
/// scales: the median adapter with a band from the smallest to the largest, or the adapter `module`. The quantities are those of Hayou, Ghosh & Yu 2024 (arXiv
/// 2406.08447, §3).
///
/// # Errors
/// [`FigureError::Nothing`] when no run has diagnostics.
pub fn lora_features(runs: &[&Curve], module: Option<&str>) -> Result<Figure, FigureError> {
    let band = |curve: &Curve, of: fn(&Diagnosis) -> f64| -> Band {
        curve.snapshots.iter().filter_map(|seen| Some((seen.step as f64, seen.spread(module, of)?))).collect()
    };
    let shown: Vec<(&Cell, Style, [Band; 2])> = runs
        .iter()
        .map(|curve| (&curve.cell, style_of(&curve.cell.scheme), QUANTITIES.map(|(_, of)| band(curve, of))))
        .filter(|(.., bands)| !bands[0].is_empty())
        .collect();
    let points = || shown.iter().flat_map(|(.., bands)| bands).flatten();
    let y = around(points().flat_map(|(_, spread)| *spread), 0.05)
        .ok_or(FigureError::Nothing("no run was looked into (`diagnose_every`)."))?;
    let steps = points().map(|(step, _)| *step).fold(1.0, f64::max);
    let columns = shown.len().min(COLUMNS);
    let rows = shown.len().div_ceil(columns);
    let panel_width = match columns {
        1 => 560.0,
        2 => 360.0,
        _ => 280.0,
    };
    let width = LEFT + columns as f64 * (panel_width + BETWEEN_COLUMNS) - BETWEEN_COLUMNS + RIGHT;
    let height = HEADING + rows as f64 * (PANEL_HEIGHT + BETWEEN_ROWS) - BETWEEN_ROWS + FOOT;
    let title = "LoRA features over the training";
    let description = described(&shown);
    canvas::draw((width, height), title, &description, |canvas| {
        canvas.text(title, (LEFT, 22.0), Lettering::new(17.0, INK).bold())?;
        let what = module.map_or_else(
            || "the adapter in the middle; shaded: from the smallest to the largest".to_owned(),
            |module| format!("the adapter of {}", short(module)),
        );
        draw_legend(canvas, &what)?;
        for (place, (cell, style, bands)) in shown.iter().enumerate() {
            let (row, column) = (place / columns, place % columns);
            let left = LEFT + column as f64 * (panel_width + BETWEEN_COLUMNS);
            let top = HEADING + row as f64 * (PANEL_HEIGHT + BETWEEN_ROWS);
            let axes = Axes::linear(left..left + panel_width, top..top + PANEL_HEIGHT, 0.0..steps, y.clone());
            let step_ticks: Vec<_> =
                ticks::linear(0.0, steps).into_iter().map(|tick| (tick, ticks::label(tick))).collect();
            axes.draw(canvas, &step_ticks, column == 0)?;
            if column == 0 {
                axes.y_title(canvas, "root mean square")?;
            }
            // Only the lowest panel of each column has a title below.
            if place + columns >= shown.len() {
                axes.x_title(canvas, "optimiser step")?;
            }
            canvas.text(&heading(cell), (left, top - 12.0), Lettering::new(SMALL, INK).bold())?;
            draw_panel(canvas, &axes, cell, *style, bands)?;
        }
        Ok(())
    })
}

fn heading(cell: &Cell) -> String {
    format!("{} at {}", cell.scheme, learning_rate_text(cell.learning_rate))
}

/// A module's name without the part that all modules have in common.
fn short(module: &str) -> &str {
    module.trim_start_matches("model.")
}

/// The last values of every run, as text.
fn described(shown: &[(&Cell, Style, [Band; 2])]) -> String {
    let run = |(cell, _, bands): &(&Cell, Style, [Band; 2])| {
        let last = |band: &Band| band.last().map(|(_, [_, middle, _])| loss_text(*middle)).unwrap_or_default();
        let step = bands[0].last().map_or(0.0, |(step, _)| *step);
        format!("{}, step {step}: Z_A {}, Z_B {}.", heading(cell), last(&bands[0]), last(&bands[1]))
    };
    shown.iter().map(run).collect::<Vec<_>>().join(" ")
}

fn draw_panel(
    canvas: &Canvas<'_>,
    axes: &Axes,
    cell: &Cell,
    style: Style,
    bands: &[Band; 2],
) -> Result<(), FigureError> {
    let mut ends: Vec<(&str, f64)> = Vec::new();
    for (place, (band, (name, _))) in bands.iter().zip(QUANTITIES).enumerate() {
        let edge = |which: usize| band.iter().map(move |(step, spread)| axes.place(*step, spread[which]));
        if band.iter().any(|(_, [low, _, high])| low < high) {
            let outline: Vec<Place> = edge(0).chain(edge(2).rev()).collect();
            canvas.area(&outline, style.colour.mix(0.13))?;
        }
        let line: Vec<Place> = edge(1).collect();
        if place == 0 {
            canvas.path(&line, 2.25, style.colour.to_rgba())?;
        } else {
            canvas.dashed(&line, 2.25, style.colour)?;
        }
        let every = line.len().div_ceil(MARKS).max(1);
        for &at in line.iter().rev().step_by(every) {
            canvas.mark(at, 3.5, style)?;
        }
        for (&at, (step, [low, middle, high])) in line.iter().zip(band) {
            let spread =
                if high > low { format!(" ({} to {})", loss_text(*low), loss_text(*high)) } else { String::new() };
            canvas.spot(at, format!("{}, step {step}: {name} {}{spread}", heading(cell), loss_text(*middle)));
        }
        ends.extend(line.last().map(|(_, y)| (name, *y)));
    }
    ends.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    if let [(_, upper), (_, lower)] = &mut ends[..]
        && *lower - *upper < NAME_HEIGHT
    {
        let middle = f64::midpoint(*upper, *lower);
        (*upper, *lower) = (middle - NAME_HEIGHT / 2.0, middle + NAME_HEIGHT / 2.0);
    }
    for (name, y) in ends {
        canvas.text(name, (axes.across.end + 8.0, y), Lettering::new(SMALL, INK))?;
    }
    Ok(())
}

fn draw_legend(canvas: &Canvas<'_>, what: &str) -> Result<(), FigureError> {
    const Y: f64 = 46.0;
    let text = Lettering::new(SMALL, INK);
    canvas.path(&[(LEFT, Y), (LEFT + 24.0, Y)], 2.25, GREY.to_rgba())?;
    canvas.text("Z_A = A x", (LEFT + 30.0, Y), text)?;
    canvas.dashed(&[(LEFT + 110.0, Y), (LEFT + 134.0, Y)], 2.25, GREY)?;
    canvas.text("Z_B = s B A x", (LEFT + 140.0, Y), text)?;
    canvas.text(what, (LEFT + 245.0, Y), Lettering::new(SMALL, GREY))
}
