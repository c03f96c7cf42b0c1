//! Figures of two starts: loss against learning rate with the crossing of their curves, and the best rate against a decoder's width.

use loralab_experiment::{CrossingFound, CurvatureFound, DecoderWidth, Pair, SchemeSummary, Summary, Transformer};

use crate::FigureError;
use crate::palette::place_of;
use crate::panels::{Line, Panel, PanelPoint, Panels, panels};

/// The style of guides, which none of the first schemes has.
const GUIDE: usize = 6;
/// The style of the line of equal losses.
const EQUAL: usize = 5;

/// Loss against learning rate with each pair's crossing, and the ratio of the pair's losses.
///
/// # Errors
/// [`FigureError::Nothing`] when every run diverged.
pub fn crossing(found: &CrossingFound) -> Result<String, FigureError> {
    let mut all = vec![losses("each scheme's loss", &found.summary, &found.pairs)];
    all.extend(found.pairs.iter().map(ratios));
    panels(&Panels {
        title: "Which start is better depends on the learning rate".to_owned(),
        note: note(&found.summary),
        description: found.sentence(),
        panels: all,
        columns: 2,
        dashes: None,
    })
}

/// Loss against learning rate on the shipped base, and each scheme's best rate against width.
///
/// # Errors
/// [`FigureError::Nothing`] when every run diverged.
pub fn transformer(found: &Transformer) -> Result<String, FigureError> {
    let base = found.shipped.experiment.base.as_deref().unwrap_or("tiny");
    panels(&Panels {
        title: "Two starts of LoRA against the learning rate".to_owned(),
        note: note(&found.shipped.summary),
        description: found.sentence(),
        panels: vec![
            losses(&format!("the shipped base {base}"), &found.shipped.summary, &found.shipped.pairs),
            rates(found),
        ],
        columns: 2,
        dashes: None,
    })
}

/// Loss against learning rate, with the rate that the curvature at each scheme's start implies.
///
/// # Errors
/// [`FigureError::Nothing`] when every run diverged.
pub fn implied_rates(found: &CurvatureFound) -> Result<String, FigureError> {
    let mut panel = losses("each scheme's loss", &found.summary, &[]);
    let guides = found.summary.schemes.iter().filter_map(|scheme| {
        let [implied, ..] = found.implied(&scheme.scheme)?;
        let style = place_of(&scheme.scheme);
        Some(upright(&format!("implied for {}", scheme.scheme), style, implied, &found.summary))
    });
    panel.lines.splice(0..0, guides);
    panels(&Panels {
        title: "The learning rate that the curvature at the start implies".to_owned(),
        note: note(&found.summary),
        description: found.sentence(),
        panels: vec![panel],
        columns: 1,
        dashes: None,
    })
}

/// Loss against learning rate, a panel for each width.
///
/// # Errors
/// [`FigureError::Nothing`] when every run diverged.
pub fn transformer_sweeps(found: &Transformer) -> Result<String, FigureError> {
    let panel = |width: &DecoderWidth| losses(&format!("width {}", width.width), &width.summary, &[]);
    let first = found.widths.first().map(|width| &width.summary);
    panels(&Panels {
        title: "Validation loss against learning rate, by width".to_owned(),
        note: format!(
            "{}; rates far from the best have one seed",
            note(first.ok_or(FigureError::Nothing("no decoder was trained."))?)
        ),
        description: found.width_sentences().join(" "),
        panels: found.widths.iter().map(panel).collect(),
        columns: 2,
        dashes: None,
    })
}

fn note(summary: &Summary) -> String {
    let seeds = summary.schemes.iter().flat_map(|scheme| &scheme.learning_rates).map(|rate| rate.losses.len()).max();
    match seeds {
        Some(seeds) if seeds > 1 => {
            format!("losses: means of {seeds} seeds, from the lowest to the highest; all else with 95 % intervals")
        }
        _ => "one seed".to_owned(),
    }
}

/// A dashed vertical line at a learning rate, from the bottom to the top.
fn upright(name: &str, style: usize, learning_rate: f64, summary: &Summary) -> Line {
    let ys = || summary.schemes.iter().flat_map(|scheme| &scheme.learning_rates).filter_map(|rate| rate.mean_loss);
    let (low, high) = (ys().fold(f64::INFINITY, f64::min), ys().fold(0.0, f64::max));
    // The panel clips it at its edges.
    let points = [low / 10.0, high * 10.0].map(|y| PanelPoint::new(learning_rate, y)).into();
    Line { name: name.to_owned(), style, dashed: true, points }
}

/// Mean losses, from the lowest to the highest seed: on a logarithmic axis, a symmetric interval of a mean near 0 would have no lower end. Crossings are
/// vertical lines.
fn losses(title: &str, summary: &Summary, pairs: &[Pair]) -> Panel {
    let line = |scheme: &SchemeSummary| {
        let point = |rate: &loralab_experiment::RateSummary| {
            let interval = rate.range().map(|(low, high)| [low, high]);
            Some(PanelPoint { x: rate.learning_rate, y: rate.mean_loss?, interval })
        };
        let points = scheme.learning_rates.iter().filter_map(point).collect();
        Line { name: scheme.scheme.clone(), style: place_of(&scheme.scheme), dashed: false, points }
    };
    let mut lines: Vec<Line> = Vec::new();
    let crossings = pairs.iter().filter_map(|pair| pair.crossing.as_ref());
    lines.extend(crossings.map(|crossing| upright("crossing", GUIDE, crossing.learning_rate, summary)));
    if let Some(base) = summary.setting.base_loss {
        let rates = || summary.schemes.iter().flat_map(|scheme| &scheme.learning_rates).map(|rate| rate.learning_rate);
        let ends = [rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max)];
        let points = ends.map(|x| PanelPoint::new(x, base)).into();
        lines.push(Line { name: "base alone".to_owned(), style: 3, dashed: true, points });
    }
    lines.extend(summary.schemes.iter().map(line));
    Panel {
        title: title.to_owned(),
        x_title: "learning rate".to_owned(),
        y_title: "validation loss (nats per token)".to_owned(),
        logarithmic: true,
        x_ticks: vec![],
        lines,
    }
}

fn ratios(pair: &Pair) -> Panel {
    let points: Vec<PanelPoint> = pair
        .ratios
        .iter()
        .map(|ratio| PanelPoint { x: ratio.learning_rate, y: ratio.ratio, interval: ratio.interval })
        .collect();
    let ends = [points.first(), points.last()].into_iter().flatten();
    let equal = ends.map(|point| PanelPoint::new(point.x, 1.0)).collect();
    let name = format!("{} / {}", pair.larger, pair.smaller);
    Panel {
        title: format!("{name}: below 1, {} leads", pair.larger),
        x_title: "learning rate".to_owned(),
        y_title: "ratio of losses".to_owned(),
        logarithmic: true,
        x_ticks: vec![],
        lines: vec![
            Line { name: "equal losses".to_owned(), style: EQUAL, dashed: true, points: equal },
            Line { name, style: 2, dashed: false, points },
        ],
    }
}

/// Each scheme's optimum against width.
fn rates(found: &Transformer) -> Panel {
    let line = |name: String| {
        let points = found.widths.iter().filter_map(|width| {
            let optimum = width.scheme(&name)?.optimum.as_ref()?;
            Some(PanelPoint { x: width.width as f64, y: optimum.learning_rate, interval: optimum.bounds() })
        });
        Line { points: points.collect(), style: place_of(&name), name, dashed: false }
    };
    Panel {
        title: "decoders of several widths".to_owned(),
        x_title: "width n".to_owned(),
        y_title: "optimal learning rate".to_owned(),
        logarithmic: true,
        x_ticks: found.widths.iter().map(|width| (width.width as f64, width.width.to_string())).collect(),
        lines: found.schemes().into_iter().map(line).collect(),
    }
}
