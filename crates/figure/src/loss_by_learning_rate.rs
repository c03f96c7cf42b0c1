//! The main figure: final validation loss against learning rate, scheme by scheme.

use loralab_experiment::{SchemeSummary, Summary, fixed_text, learning_rate_text, loss_text};
use plotters::style::Color;

use crate::axes::{Axes, SMALL, around, holds};
use crate::canvas::{self, Canvas, Lettering};
use crate::palette::{GREY, INK, Style, style_of};
use crate::ticks;
use crate::{Figure, FigureError};

const PLOT_WIDTH: f64 = 560.0;
const PLOT_HEIGHT: f64 = 360.0;
const LEFT: f64 = 78.0;
const HEADING: f64 = 66.0;
const FOOT: f64 = 62.0;
const LEGEND_GAP: f64 = 24.0;
/// The most schemes that get a band from the lowest to the highest seed; with more, bands would hide each other.
const SCHEMES_WITH_BAND: usize = 4;
const LEGEND_LINE: f64 = 19.0;
/// The height of the row that shows a scheme's optimum.
const OPTIMUM_ROW: f64 = 15.0;
/// The most schemes for which the legend shows the best rate.
const SCHEMES_WITH_BEST: usize = 8;

/// The steps that the summary of a complete sweep refers to.
pub const AT_THE_END: &str = "After the last step";

/// Final validation loss against learning rate, both logarithmic: a line per scheme through the means over seeds, bars
/// from the lowest to the highest seed, a ring around the scheme's best, crosses above for seeds that diverged, and
/// the base alone as a dashed line. Above it, with few schemes, each one's optimum with its 95 % interval (a thin bar)
/// and its plateau (a thick one). A rate at which a seed diverged has no mean, so the line is interrupted there.
/// Schemes are shifted by a few pixels, so that equal losses do not hide each other.
///
/// # Errors
/// [`FigureError::Nothing`] when no run has ended.
pub fn loss_by_learning_rate(summary: &Summary) -> Result<Figure, FigureError> {
    loss_by_learning_rate_when(summary, AT_THE_END)
}

/// The same figure for a sweep that may be in training; `when` begins the line below the title, and names the steps that the summary refers to.
///
/// # Errors
/// [`FigureError::Nothing`] when no run has been evaluated.
pub fn loss_by_learning_rate_when(summary: &Summary, when: &str) -> Result<Figure, FigureError> {
    draw(summary, when)
}

fn draw(summary: &Summary, when: &str) -> Result<Figure, FigureError> {
    let rows = || summary.schemes.iter().flat_map(|scheme| &scheme.learning_rates);
    let nothing = FigureError::Nothing("no run has come to its end.");
    let mut rates: Vec<f64> = rows().map(|row| row.learning_rate).filter(|rate| holds(*rate)).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    let x = match rates[..] {
        [only] => only / 2.0..only * 2.0,
        _ => around(rates.iter().copied(), 0.06).ok_or(nothing)?,
    };
    let losses = rows().flat_map(|row| row.losses.iter().copied().flatten());
    // If every run diverged, the base and the crosses remain.
    let y = around(losses.chain(summary.setting.base_loss), 0.05).unwrap_or(0.1..10.0);

    let diverged: Vec<usize> =
        (0..summary.schemes.len()).filter(|&place| summary.schemes[place].diverged() > 0).collect();
    let cross_row = if diverged.len() > 6 { 11.0 } else { 15.0 };
    let crosses = if diverged.is_empty() { 0.0 } else { cross_row * diverged.len() as f64 + 4.0 };
    let optima: Vec<usize> = match summary.schemes.len() {
        ..=SCHEMES_WITH_BAND => (0..summary.schemes.len()).filter(|&place| has_interval(summary, place)).collect(),
        _ => vec![],
    };
    let strip = crosses + if optima.is_empty() { 0.0 } else { OPTIMUM_ROW * optima.len() as f64 + 4.0 };
    let legend = Legend::new(summary, !diverged.is_empty(), !optima.is_empty());
    let top = HEADING + strip;
    let plot_height = PLOT_HEIGHT.max(legend.height() - strip);
    let across = LEFT..LEFT + PLOT_WIDTH;
    let axes = Axes::logarithmic(across, top..top + plot_height, x.clone(), y);
    let size = (LEFT + PLOT_WIDTH + LEGEND_GAP + legend.width(), top + plot_height + FOOT);

    let title = "Validation loss against learning rate";
    canvas::draw(size, title, &summary.sentence(), |canvas| {
        canvas.text(title, (LEFT, 22.0), Lettering::new(17.0, INK).bold())?;
        canvas.text(&seeds_in_words(summary, when), (LEFT, 44.0), Lettering::new(SMALL, GREY))?;
        axes.draw(canvas, &rate_ticks(&rates, x.start, x.end), true)?;
        axes.x_title(canvas, "learning rate")?;
        axes.y_title(canvas, &format!("validation loss ({})", summary.loss_unit()))?;
        if let Some(base) = summary.setting.base_loss {
            let (_, y) = axes.place(x.start, base);
            canvas.dashed(&[(axes.across.start, y), (axes.across.end, y)], 1.5, GREY)?;
        }
        for (row, &place) in diverged.iter().enumerate() {
            let y = axes.down.start - 4.0 - cross_row * (row as f64 + 0.5);
            draw_crosses(canvas, &axes, y, &summary.schemes[place])?;
        }
        for (row, &place) in optima.iter().enumerate() {
            let y = HEADING + OPTIMUM_ROW * (row as f64 + 0.5);
            draw_optimum(canvas, &axes, y, &summary.schemes[place])?;
        }
        for (place, scheme) in summary.schemes.iter().enumerate() {
            let from_middle = place as f64 - (summary.schemes.len() as f64 - 1.0) / 2.0;
            let beside = from_middle * (18.0 / summary.schemes.len() as f64).min(6.0);
            let band = summary.schemes.len() <= SCHEMES_WITH_BAND;
            draw_scheme(canvas, &axes, scheme, beside, band)?;
        }
        legend.draw(canvas, LEFT + PLOT_WIDTH + LEGEND_GAP, HEADING)
    })
}

fn has_interval(summary: &Summary, place: usize) -> bool {
    summary.schemes[place].optimum.as_ref().is_some_and(|optimum| optimum.interval.is_some())
}

/// The optimum's mark, its interval as a thin bar with caps at the ends that are not open, and its plateau as a thick bar.
fn draw_optimum(canvas: &Canvas<'_>, axes: &Axes, y: f64, scheme: &SchemeSummary) -> Result<(), FigureError> {
    let style = style_of(&scheme.scheme);
    let Some(optimum) = &scheme.optimum else { return Ok(()) };
    let x = |rate: f64| axes.place(rate, 1.0).0;
    if let Some([low, high]) = optimum.plateau.map(|ends| ends.map(x)) {
        canvas.path(&[(low, y), (high, y)], 7.0, style.colour.mix(0.3))?;
    }
    if let Some(bounds) = optimum.bounds() {
        canvas.path(&bounds.map(|end| (x(end), y)), 1.5, style.colour.to_rgba())?;
        // An open end has no cap: its bar continues to the edge.
        for end in bounds.into_iter().filter(|end| *end > 0.0 && end.is_finite()).map(x) {
            canvas.path(&[(end, y - 4.0), (end, y + 4.0)], 1.5, style.colour.to_rgba())?;
        }
    }
    canvas.mark((x(optimum.learning_rate), y), 3.0, style)
}

fn draw_scheme(
    canvas: &Canvas<'_>,
    axes: &Axes,
    scheme: &SchemeSummary,
    beside: f64,
    band: bool,
) -> Result<(), FigureError> {
    let style = style_of(&scheme.scheme);
    let colour = style.colour;
    let place = |rate: f64, loss: f64| {
        let (x, y) = axes.place(rate, loss);
        (x + beside, y)
    };
    for piece in scheme.learning_rates.chunk_by(|a, b| a.mean_loss.is_some() && b.mean_loss.is_some()) {
        let (mut means, mut lowest, mut highest) = (Vec::new(), Vec::new(), Vec::new());
        for row in piece {
            if let Some((mean, (low, high))) = row.mean_loss.zip(row.range()) {
                means.push(place(row.learning_rate, mean));
                // With as many decimals as its mean.
                let decimals = loss_text(mean).split_once('.').map_or(0, |(_, decimals)| decimals.len());
                let half = row.loss_spread.map(|spread| spread / 2.0);
                let spread = half.map_or_else(String::new, |half| match mean {
                    0.01.. => format!(" ± {}", fixed_text(half, decimals)),
                    _ => format!(" ± {half:.1e}"),
                });
                let rate = learning_rate_text(row.learning_rate);
                canvas.spot(
                    place(row.learning_rate, mean),
                    format!("{} at {rate}: {}{spread}", scheme.scheme, loss_text(mean)),
                );
                lowest.push(place(row.learning_rate, low));
                highest.push(place(row.learning_rate, high));
            }
        }
        if means.len() > 1 {
            if band {
                let outline: Vec<_> = highest.iter().copied().chain(lowest.iter().rev().copied()).collect();
                canvas.area(&outline, colour.mix(0.15))?;
            }
            canvas.line(&means, 2.0, style)?;
        }
        for (&(x, low), &(_, high)) in lowest.iter().zip(&highest) {
            canvas.path(&[(x, low), (x, high)], 1.5, colour.to_rgba())?;
            // A cap on a bar shorter than the mark would only blur the mark.
            for end in [low, high].into_iter().filter(|_| low - high > 12.0) {
                canvas.path(&[(x - 4.0, end), (x + 4.0, end)], 1.5, colour.to_rgba())?;
            }
        }
        for &mean in &means {
            canvas.mark(mean, 4.0, style)?;
        }
    }
    // Seeds that did not diverge where another did: they have a loss, but the rate has no mean.
    for row in scheme.learning_rates.iter().filter(|row| row.diverged > 0) {
        for loss in row.losses.iter().flatten() {
            canvas.mark(place(row.learning_rate, *loss), 2.5, style)?;
        }
    }
    if let Some((best, loss)) = scheme.best_learning_rate.zip(scheme.best_loss) {
        canvas.ring(place(best, loss), 9.0, 2.0, colour)?;
    }
    Ok(())
}

/// One cross for each diverged seed, side by side above its learning rate; from four on, and if rates are close, one
/// cross with their number, or without it if the number does not fit.
fn draw_crosses(canvas: &Canvas<'_>, axes: &Axes, y: f64, scheme: &SchemeSummary) -> Result<(), FigureError> {
    let Style { colour, .. } = style_of(&scheme.scheme);
    let xs: Vec<_> = scheme.learning_rates.iter().map(|row| axes.place(row.learning_rate, 1.0).0).collect();
    let room = xs.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
    for (row, x) in scheme.learning_rates.iter().zip(xs).filter(|(row, _)| row.diverged > 0) {
        if row.diverged <= 3 && room >= 12.0 * (row.diverged as f64 + 1.0) {
            for seed in 0..row.diverged {
                let beside = (seed as f64 - (row.diverged as f64 - 1.0) / 2.0) * 12.0;
                canvas.cross((x + beside, y), 4.0, 2.0, colour)?;
            }
        } else if room >= 48.0 {
            canvas.cross((x - 12.0, y), 4.0, 2.0, colour)?;
            canvas.text(&format!("× {}", row.diverged), (x - 4.0, y), Lettering::new(12.0, INK))?;
        } else {
            canvas.cross((x, y), 4.0, 2.0, colour)?;
        }
    }
    Ok(())
}

/// The learning rates that were tried if their labels fit beside each other; else round ones.
fn rate_ticks(rates: &[f64], low: f64, high: f64) -> Vec<(f64, String)> {
    const LABEL_WIDTH: f64 = 52.0;
    let apart = |a: f64, b: f64| (b / a).ln() / (high / low).ln() * PLOT_WIDTH;
    if rates.windows(2).all(|pair| apart(pair[0], pair[1]) >= LABEL_WIDTH) {
        return rates.iter().map(|&rate| (rate, learning_rate_text(rate))).collect();
    }
    ticks::logarithmic(low, high).into_iter().map(|rate| (rate, learning_rate_text(rate))).collect()
}

fn seeds_in_words(summary: &Summary, when: &str) -> String {
    let rows = summary.schemes.iter().flat_map(|scheme| &scheme.learning_rates);
    match rows.map(|row| row.losses.len()).max() {
        Some(seeds) if seeds > 1 => {
            format!("{when}; means over {seeds} seeds, bars from the lowest to the highest seed")
        }
        _ => format!("{when}; one seed, so the spread over seeds is not known"),
    }
}

/// The legend, in a column at the right.
struct Legend {
    schemes: Vec<(String, Option<String>)>,
    base: Option<String>,
    diverged: bool,
    optima: bool,
}

impl Legend {
    fn new(summary: &Summary, diverged: bool, optima: bool) -> Self {
        let with_best = summary.schemes.len() <= SCHEMES_WITH_BEST;
        let schemes = summary.schemes.iter().map(|scheme| {
            let best = scheme.best_learning_rate.zip(scheme.best_loss).map_or_else(
                || "diverged everywhere".to_owned(),
                |(rate, loss)| format!("{} at {}", loss_text(loss), learning_rate_text(rate)),
            );
            (scheme.scheme.clone(), with_best.then_some(best))
        });
        let base = summary.setting.base_loss.map(|loss| format!("base alone: {}", loss_text(loss)));
        Self { schemes: schemes.collect(), base, diverged, optima }
    }

    fn lines(&self) -> usize {
        let schemes: usize = self.schemes.iter().map(|(_, best)| 1 + usize::from(best.is_some())).sum();
        schemes + 1 + usize::from(self.diverged) + 2 * usize::from(self.optima) + usize::from(self.base.is_some())
    }

    fn height(&self) -> f64 {
        (self.lines() as f64 + 0.5) * LEGEND_LINE
    }

    /// The width of the longest entry in a font of ordinary width.
    fn width(&self) -> f64 {
        let entries =
            self.schemes.iter().flat_map(|(name, best)| [Some(name), best.as_ref()]).flatten().chain(&self.base);
        let longest = entries.map(|entry| entry.chars().count()).max().unwrap_or(0);
        36.0 + (longest as f64 * SMALL * 0.58).max(116.0) + 12.0
    }

    fn draw(&self, canvas: &Canvas<'_>, left: f64, top: f64) -> Result<(), FigureError> {
        let (middle, words) = (left + 14.0, left + 36.0);
        let text = Lettering::new(SMALL, INK);
        let mut y = top + LEGEND_LINE / 2.0;
        for (name, best) in &self.schemes {
            let style = style_of(name);
            canvas.line(&[(left, y), (left + 28.0, y)], 2.0, style)?;
            canvas.mark((middle, y), 4.0, style)?;
            canvas.text(name, (words, y), text.bold())?;
            y += LEGEND_LINE;
            if let Some(best) = best {
                canvas.text(best, (words, y - 2.0), Lettering::new(SMALL, GREY))?;
                y += LEGEND_LINE;
            }
        }
        y += LEGEND_LINE / 2.0;
        canvas.ring((middle, y), 7.0, 2.0, GREY)?;
        canvas.text("best of a scheme", (words, y), text)?;
        y += LEGEND_LINE;
        if self.optima {
            canvas.path(&[(left, y), (left + 28.0, y)], 1.5, GREY.to_rgba())?;
            for end in [left, left + 28.0] {
                canvas.path(&[(end, y - 4.0), (end, y + 4.0)], 1.5, GREY.to_rgba())?;
            }
            canvas.text("optimum, 95 %", (words, y), text)?;
            y += LEGEND_LINE;
            canvas.path(&[(left, y), (left + 28.0, y)], 7.0, GREY.mix(0.3))?;
            canvas.text("within 1 s.e. of best", (words, y), text)?;
            y += LEGEND_LINE;
        }
        if self.diverged {
            canvas.cross((middle, y), 4.0, 2.0, GREY)?;
            canvas.text("a seed diverged", (words, y), text)?;
            y += LEGEND_LINE;
        }
        if let Some(base) = &self.base {
            canvas.dashed(&[(left, y), (left + 28.0, y)], 1.5, GREY)?;
            canvas.text(base, (words, y), text)?;
        }
        Ok(())
    }
}
