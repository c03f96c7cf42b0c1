//! The report of `reproduce crossing`.

use loralab_experiment::{CrossingFound, Curve, factor_text, fixed_text, learning_rate_text, rounded_rate_text};
use loralab_figure::{FigureError, crossing};

use crate::{Cell, Figure, Report, Section, Table, of_sweep};

/// What was found of schemes over a fine grid; `curves` are those of each scheme's best rate.
///
/// # Errors
/// If no run has come to its end, or a figure cannot be drawn.
pub fn of_crossing(found: &CrossingFound, curves: &[Curve]) -> Result<Report, FigureError> {
    let mut report = of_sweep(&found.summary, &found.experiment, curves)?;
    report.title = "Where the curves of LoRA's starts cross".to_owned();
    report.found = found.sentence();
    report.sections.insert(0, of_pairs(found)?);
    Ok(report)
}

/// The crossings of a sweep's schemes.
pub(crate) fn of_pairs(found: &CrossingFound) -> Result<Section, FigureError> {
    Ok(Section {
        heading: "Where the curves cross".to_owned(),
        text: vec![
            "Of two schemes, the one with the larger optimal learning rate is followed from its best rate downwards until the other has the lower mean \
             loss; between two rates, the logarithms of the losses are taken to change evenly with that of the rate. Its 95 % interval holds the two rates tried that it lies \
             between, and is Student's around them, with the standard error of a bootstrap over seeds in which best rate and crossing are looked for again every time. Whoever compares the two at one learning \
             rate finds the one better or the other, as that rate lies above or below."
                .to_owned(),
            "Ratios of losses are geometric means over seeds, which the schemes share, with Student's 95 % intervals; rates at which a seed diverged are left \
             out. Theory: Hayou, Ghosh, Yu 2024 (arXiv 2406.08447)."
                .to_owned(),
        ],
        figures: vec![Figure {
            name: "crossing".to_owned(),
            svg: crossing(found)?,
            caption: "Left: mean final validation loss. Right: the same of one scheme divided by the other's, at each learning rate.".to_owned(),
        }],
        tables: vec![crossings(found), ratios(found)],
    })
}

fn crossings(found: &CrossingFound) -> Table {
    let head = [
        "leads below",
        "leads above",
        "crossing",
        "lower",
        "upper",
        "rates below",
        "of which led as said",
        "resamples that cross",
    ];
    let rows = found.pairs.iter().map(|pair| {
        let crossing = pair.crossing.as_ref();
        let mut row = vec![
            Cell::text(&pair.smaller),
            Cell::text(&pair.larger),
            Cell::number(crossing.map(|crossing| crossing.learning_rate), rounded_rate_text),
        ];
        row.extend(Cell::ends(crossing.and_then(|crossing| crossing.interval), rounded_rate_text));
        row.extend([0, 1].map(|end| crossing.map_or(Cell::Unknown, |crossing| Cell::whole(crossing.below[end]))));
        row.push(Cell::number(crossing.map(|crossing| crossing.share), |share| {
            format!("{} %", fixed_text(100.0 * share, 0))
        }));
        row
    });
    Table {
        name: "crossings".to_owned(),
        caption: "Learning rates at which the curves cross.".to_owned(),
        head: head.map(str::to_owned).into(),
        rows: rows.collect(),
    }
}

fn ratios(found: &CrossingFound) -> Table {
    let rows = found.pairs.iter().flat_map(|pair| {
        pair.ratios.iter().map(|ratio| {
            let shown = |x: f64| if x < 9.95 { fixed_text(x, 3) } else { factor_text(x) };
            let mut row = vec![
                Cell::text(format!("{} / {}", pair.larger, pair.smaller)),
                Cell::number(Some(ratio.learning_rate), |rate| {
                    learning_rate_text(format!("{rate:.2e}").parse().unwrap_or(rate))
                }),
                Cell::number(Some(ratio.ratio), shown),
            ];
            row.extend(Cell::ends(ratio.interval, shown));
            row
        })
    });
    Table {
        name: "ratios".to_owned(),
        caption: "Losses divided, at equal learning rates.".to_owned(),
        head: ["schemes", "learning rate", "ratio of losses", "lower", "upper"].map(str::to_owned).into(),
        rows: rows.collect(),
    }
}
