//! The singular values of starts, a panel for each scheme.

use loralab_experiment::{LayerStart, SchemeStart, loss_text, spread};
use plotters::style::Color;

use crate::axes::{Axes, SMALL, around};
use crate::canvas::{self, Canvas, Lettering, Place};
use crate::palette::{GREY, INK, Style, style_of};
use crate::{Figure, FigureError};

const LEFT: f64 = 78.0;
const HEADING: f64 = 84.0;
const FOOT: f64 = 62.0;
const RIGHT: f64 = 24.0;
const PANEL_HEIGHT: f64 = 200.0;
/// Space between panels, for the title and the numbers of the lower one.
const BETWEEN_ROWS: f64 = 62.0;
const BETWEEN_COLUMNS: f64 = 30.0;
const COLUMNS: usize = 3;
/// The most marks of a line.
const MARKS: usize = 16;
/// The most numbers below a panel.
const TICKS: usize = 9;

/// Singular values of starts by their index, a panel for each scheme, all on the same scales: thin lines for every layer, a thick one for their median.
/// They are those of s B A or, if that is zero, of the nonzero factor. A value
/// below a millionth of the largest is drawn at the lower edge.
///
/// # Errors
/// [`FigureError::Nothing`] when no layer has a value above zero.
pub fn spectra(starts: &[&SchemeStart]) -> Result<Figure, FigureError> {
    let has_value = |layer: &LayerStart| layer.spectrum.iter().any(|value| *value > 0.0);
    let shown: Vec<(&SchemeStart, Style)> = starts
        .iter()
        .filter(|start| start.layers.iter().any(has_value))
        .map(|&start| (start, style_of(&start.scheme)))
        .collect();
    let layers = || shown.iter().flat_map(|(start, _)| &start.layers);
    let y = around(layers().flat_map(|layer| layer.spectrum.iter().copied()), 0.05)
        .ok_or(FigureError::Nothing("no start has a value above zero."))?;
    let rank = shown.iter().map(|(start, _)| longest(start)).max().unwrap_or(1);
    let columns = shown.len().min(COLUMNS);
    let panel_width = match columns {
        1 => 480.0,
        2 => 330.0,
        _ => 232.0,
    };
    let width = LEFT + columns as f64 * (panel_width + BETWEEN_COLUMNS) - BETWEEN_COLUMNS + RIGHT;
    let height = HEADING + shown.len().div_ceil(columns) as f64 * (PANEL_HEIGHT + BETWEEN_ROWS) - BETWEEN_ROWS + FOOT;
    let every = rank.div_ceil(TICKS);
    let ticks: Vec<_> = (1..=rank).step_by(every).map(|k| (k as f64, k.to_string())).collect();
    let title = "Singular values of the starts";
    canvas::draw((width, height), title, &described(&shown), |canvas| {
        canvas.text(title, (LEFT, 22.0), Lettering::new(17.0, INK).bold())?;
        canvas.text("thin: every layer; thick: the middle of the layers", (LEFT, 46.0), Lettering::new(SMALL, GREY))?;
        for (place, (start, style)) in shown.iter().enumerate() {
            let (row, column) = (place / columns, place % columns);
            let left = LEFT + column as f64 * (panel_width + BETWEEN_COLUMNS);
            let top = HEADING + row as f64 * (PANEL_HEIGHT + BETWEEN_ROWS);
            let across = 0.5..rank as f64 + 0.5;
            let axes = Axes::linear(left..left + panel_width, top..top + PANEL_HEIGHT, across, y.clone());
            axes.draw(canvas, &ticks, column == 0)?;
            if column == 0 {
                axes.y_title(canvas, "singular value")?;
            }
            if place + columns >= shown.len() {
                axes.x_title(canvas, "place")?;
            }
            canvas.text(&heading(start), (left, top - 12.0), Lettering::new(SMALL, INK).bold())?;
            draw_panel(canvas, &axes, start, *style)?;
        }
        Ok(())
    })
}

fn heading(start: &SchemeStart) -> String {
    format!("{}: {}", start.scheme, start.drawn())
}

/// The spread over layers of the value with this index, from 0, among the layers that have one.
fn at(start: &SchemeStart, place: usize) -> Option<[f64; 3]> {
    spread(start.layers.iter().filter_map(|layer| layer.spectrum.get(place).copied()))
}

/// The largest number of values of a layer.
fn longest(start: &SchemeStart) -> usize {
    start.layers.iter().map(|layer| layer.spectrum.len()).max().unwrap_or(0)
}

/// The ends of every median line, as text.
fn described(shown: &[(&SchemeStart, Style)]) -> String {
    let said = |(start, _): &(&SchemeStart, Style)| {
        let last = longest(start).saturating_sub(1);
        let value = |place| at(start, place).map(|[_, middle, _]| loss_text(middle)).unwrap_or_default();
        format!("{}, from {} down to {}.", heading(start), value(0), value(last))
    };
    shown.iter().map(said).collect::<Vec<_>>().join(" ")
}

fn draw_panel(canvas: &Canvas<'_>, axes: &Axes, start: &SchemeStart, style: Style) -> Result<(), FigureError> {
    for layer in &start.layers {
        let line: Vec<Place> =
            layer.spectrum.iter().enumerate().map(|(k, value)| axes.place(k as f64 + 1.0, *value)).collect();
        canvas.path(&line, 1.0, style.colour.mix(0.35))?;
    }
    let values: Vec<(usize, [f64; 3])> = (0..longest(start)).filter_map(|k| Some((k + 1, at(start, k)?))).collect();
    let line: Vec<Place> = values.iter().map(|(k, [_, middle, _])| axes.place(*k as f64, *middle)).collect();
    canvas.path(&line, 2.25, style.colour.to_rgba())?;
    let every = line.len().div_ceil(MARKS).max(1);
    for &point in line.iter().step_by(every) {
        canvas.mark(point, 3.5, style)?;
    }
    for (&point, (k, [low, middle, high])) in line.iter().zip(&values) {
        let spread = if high > low { format!(" ({} to {})", loss_text(*low), loss_text(*high)) } else { String::new() };
        canvas.spot(point, format!("{}, value {k}: {}{spread}", heading(start), loss_text(*middle)));
    }
    Ok(())
}
