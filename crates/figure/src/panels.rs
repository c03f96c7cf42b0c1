//! Panels of lines with intervals, which the figures of the reproductions use.

use plotters::style::Color;

use crate::FigureError;
use crate::axes::{Axes, SMALL, around, holds};
use crate::canvas::{self, Canvas, Lettering};
use crate::palette::{GREY, INK, Style, style};

const LEFT: f64 = 78.0;
const HEADING: f64 = 96.0;
const FOOT: f64 = 62.0;
/// Space between panels, for the numbers and titles of the next.
const BETWEEN_COLUMNS: f64 = 92.0;
const BETWEEN_ROWS: f64 = 84.0;
const LEGEND_LINE: f64 = 19.0;
const LEGEND_GAP: f64 = 24.0;
/// The most marks of a line; a longer one has them on some of its points.
const MARKS: usize = 16;

/// A figure of panels that share a legend.
#[derive(Clone, Debug, PartialEq)]
pub struct Panels {
    /// The figure's title.
    pub title: String,
    /// A line on seeds and intervals, below the title.
    pub note: String,
    /// The figure's contents, for screen readers.
    pub description: String,
    /// The panels, row by row.
    pub panels: Vec<Panel>,
    /// The number of panels in a row.
    pub columns: usize,
    /// The meaning of dashed lines of the same colours, if there are any.
    pub dashes: Option<String>,
}

/// Lines over one pair of axes; the vertical one is logarithmic.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// The panel's title.
    pub title: String,
    /// The title of the horizontal axis.
    pub x_title: String,
    /// The title of the vertical axis, with its unit.
    pub y_title: String,
    /// True if the horizontal axis is logarithmic.
    pub logarithmic: bool,
    /// The numbers below the horizontal axis; round ones if there are none.
    pub x_ticks: Vec<(f64, String)>,
    /// The lines.
    pub lines: Vec<Line>,
}

/// A line through points.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its name in the legend; lines of one name have one entry.
    pub name: String,
    /// The index of its style.
    pub style: usize,
    /// Dashed and without marks: a guide.
    pub dashed: bool,
    /// The points, by rising x.
    pub points: Vec<PanelPoint>,
}

/// A point with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PanelPoint {
    /// The horizontal value.
    pub x: f64,
    /// The vertical value.
    pub y: f64,
    /// The lower and upper end of its interval.
    pub interval: Option<[f64; 2]>,
}

impl PanelPoint {
    /// A point without an interval.
    pub fn new(x: f64, y: f64) -> Self {
        Self { x, y, interval: None }
    }
}

/// Draws the panels. Points that an axis can't show are left out: they are not positive, or near the limits of f64.
///
/// # Errors
/// [`FigureError::Nothing`] when no panel has a point.
pub fn panels(figure: &Panels) -> Result<String, FigureError> {
    let shown: Vec<(&Panel, Axes)> = place(figure)?;
    let legend = legend(figure);
    let end = |of: fn(&Axes) -> f64| shown.iter().map(|(_, axes)| of(axes)).fold(0.0, f64::max);
    let (right, bottom) = (end(|axes| axes.across.end), end(|axes| axes.down.end));
    let widest = legend.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
    let legend_width = 44.0 + (widest as f64 * SMALL * 0.58).max(80.0);
    let width = (right + LEGEND_GAP + legend_width).max(LEFT + figure.note.chars().count() as f64 * SMALL * 0.5);
    let height = (bottom + FOOT).max(HEADING + LEGEND_LINE * (legend.len() as f64 + 1.0));
    canvas::draw((width.ceil(), height.ceil()), &figure.title, &figure.description, |canvas| {
        canvas.text(&figure.title, (LEFT, 22.0), Lettering::new(17.0, INK).bold())?;
        canvas.text(&figure.note, (LEFT, 44.0), Lettering::new(SMALL, GREY))?;
        for (panel, axes) in &shown {
            draw_panel(canvas, axes, panel)?;
        }
        let (left, mut y) = (right + LEGEND_GAP, HEADING + LEGEND_LINE / 2.0);
        for (name, style, dashed) in legend {
            let text = Lettering::new(SMALL, INK);
            if dashed {
                canvas.dashed(&[(left, y), (left + 28.0, y)], 1.5, style.colour)?;
            } else {
                canvas.path(&[(left, y), (left + 28.0, y)], 2.0, style.colour.to_rgba())?;
                canvas.mark((left + 14.0, y), 4.0, style)?;
            }
            canvas.text(&name, (left + 36.0, y), text)?;
            y += LEGEND_LINE;
        }
        Ok(())
    })
    .map(|figure| figure.svg)
}

/// Every panel that has a point, with its axes.
fn place(figure: &Panels) -> Result<Vec<(&Panel, Axes)>, FigureError> {
    let columns = figure.columns.max(1).min(figure.panels.len().max(1));
    let (panel_width, panel_height) = match columns {
        1 => (560.0, 340.0),
        2 => (360.0, 280.0),
        _ => (270.0, 240.0),
    };
    let mut shown = Vec::new();
    for (place, panel) in figure.panels.iter().enumerate() {
        let (row, column) = (place / columns, place % columns);
        let left = LEFT + column as f64 * (panel_width + BETWEEN_COLUMNS);
        let top = HEADING + row as f64 * (panel_height + BETWEEN_ROWS);
        let points = || panel.lines.iter().flat_map(|line| &line.points).filter(|point| is_shown(point));
        // Guides may leave the panel; measured lines may not.
        let measured = panel.lines.iter().filter(|line| !line.dashed).flat_map(|line| &line.points);
        let heights = measured.filter(|point| is_shown(point)).flat_map(|point| {
            [Some(point.y), point.interval.map(|ends| ends[0]), point.interval.map(|ends| ends[1])]
                .into_iter()
                .flatten()
        });
        let Some(y) = around(heights, 0.06) else { continue };
        let across = left..left + panel_width;
        let down = top..top + panel_height;
        let axes = if panel.logarithmic {
            let Some(x) = around(points().map(|point| point.x), 0.05) else { continue };
            Axes::logarithmic(across, down, x, y)
        } else {
            let last = points().map(|point| point.x).fold(f64::MIN_POSITIVE, f64::max);
            Axes::linear(across, down, 0.0..last, y)
        };
        shown.push((panel, axes));
    }
    if shown.is_empty() {
        return Err(FigureError::Nothing("no line has a point."));
    }
    Ok(shown)
}

fn is_shown(point: &PanelPoint) -> bool {
    (holds(point.x) || point.x == 0.0) && holds(point.y)
}

/// Each name once, in the order of the lines, and the meaning of dashes.
fn legend(figure: &Panels) -> Vec<(String, Style, bool)> {
    let mut entries: Vec<(String, Style, bool)> = Vec::new();
    for line in figure.panels.iter().flat_map(|panel| &panel.lines) {
        let named = line.dashed && figure.dashes.is_some();
        if !named && entries.iter().all(|(name, ..)| *name != line.name) {
            entries.push((line.name.clone(), style(line.style), line.dashed));
        }
    }
    if let Some(words) = &figure.dashes {
        entries.push((words.clone(), Style { colour: GREY, ..style(0) }, true));
    }
    entries
}

fn draw_panel(canvas: &Canvas<'_>, axes: &Axes, panel: &Panel) -> Result<(), FigureError> {
    let xs = panel.lines.iter().flat_map(|line| &line.points).filter(|point| is_shown(point)).map(|point| point.x);
    let (low, high) = xs.fold((f64::INFINITY, 0.0), |(low, high): (f64, f64), x| (low.min(x), high.max(x)));
    let ticks = match panel.x_ticks.is_empty() {
        true => axes.round(if panel.logarithmic { low } else { 0.0 }, high),
        false => panel.x_ticks.clone(),
    };
    axes.draw(canvas, &ticks, true)?;
    axes.x_title(canvas, &panel.x_title)?;
    axes.y_title(canvas, &panel.y_title)?;
    canvas.text(&panel.title, (axes.across.start, axes.down.start - 12.0), Lettering::new(SMALL, INK).bold())?;
    for line in &panel.lines {
        draw_line(canvas, axes, line)?;
    }
    Ok(())
}

fn draw_line(canvas: &Canvas<'_>, axes: &Axes, line: &Line) -> Result<(), FigureError> {
    let style = style(line.style);
    let points: Vec<&PanelPoint> = line.points.iter().filter(|point| is_shown(point)).collect();
    let places: Vec<_> = points.iter().map(|point| axes.place(point.x, point.y)).collect();
    if line.dashed {
        return canvas.dashed(&places, 1.5, style.colour);
    }
    let crowded = points.len() > MARKS;
    if crowded {
        // With many points, bars would hide each other, so a band is drawn.
        let ends = |end: usize| points.iter().filter_map(move |point| Some((point.x, point.interval?[end])));
        let outline: Vec<_> = ends(1).chain(ends(0).collect::<Vec<_>>().into_iter().rev()).collect();
        let outline: Vec<_> = outline.into_iter().map(|(x, y)| axes.place(x, y)).collect();
        if outline.len() > 3 {
            canvas.area(&outline, style.colour.mix(0.15))?;
        }
    }
    if places.len() > 1 {
        canvas.path(&places, 2.0, style.colour.to_rgba())?;
    }
    let every = points.len().div_ceil(MARKS).max(1);
    for (point, &place) in points.iter().zip(&places).step_by(every) {
        if let Some([low, high]) = point.interval.filter(|_| !crowded) {
            let (bottom, top) = (axes.place(point.x, low), axes.place(point.x, high));
            canvas.path(&[bottom, top], 1.5, style.colour.to_rgba())?;
            // A cap on a bar shorter than the mark would only blur the mark.
            for (x, y) in [bottom, top].into_iter().filter(|_| bottom.1 - top.1 > 12.0) {
                canvas.path(&[(x - 4.0, y), (x + 4.0, y)], 1.5, style.colour.to_rgba())?;
            }
        }
        canvas.mark(place, 4.0, style)?;
    }
    Ok(())
}
