//! The report of a sweep.

use loralab_experiment::{
    Curve, Experiment, Optimum, SchemeSummary, Summary, factor_text, fixed_text, learning_rate_text, loss_text,
    rounded_rate_text,
};
use loralab_figure::{FigureError, lora_features, loss_by_learning_rate, training_curves};

use crate::{Cell, Figure, Report, Section, Table, seconds};

/// The report on a sweep; `curves` are those of each scheme's best rate.
///
/// # Errors
/// If no run has ended, or a figure cannot be drawn.
pub fn of_sweep(summary: &Summary, experiment: &Experiment, curves: &[Curve]) -> Result<Report, FigureError> {
    let mut figures = vec![Figure {
        name: "loss_by_learning_rate".to_owned(),
        svg: loss_by_learning_rate(summary)?.svg,
        caption: "Final validation loss against learning rate. Rings are the best of the rates that were tried; above, each scheme's optimum between \
                  them with its 95 % interval, and the rates within one standard error of the best."
            .to_owned(),
    }];
    match training_curves(summary, curves) {
        Ok(curves) => figures.push(Figure {
            name: "training_curves".to_owned(),
            svg: curves.svg,
            caption: "Each scheme at its best learning rate.".to_owned(),
        }),
        Err(FigureError::Nothing(_)) => {}
        Err(error) => return Err(error),
    }
    // One seed of each scheme is enough to show its features.
    let of_scheme = |scheme: &SchemeSummary| {
        let of_best = curves.iter().filter(|curve| curve.cell.scheme == scheme.scheme);
        of_best.min_by_key(|curve| curve.cell.seed)
    };
    let seen: Vec<&Curve> = summary.schemes.iter().filter_map(of_scheme).collect();
    let inside = match lora_features(&seen, None) {
        Ok(figure) => Some(Section {
            heading: "Inside the adapters".to_owned(),
            text: vec![
                "Z_A = A x and Z_B = s B A x on a probe that stays the same, as root mean squares over rows and columns; each \
                 scheme at its best learning rate, its first seed. A random A of variance 1/n on normalised rows gives ‖Z_A‖ = 1. With Init[A], theory has Z_A grow with the \
                 width where training is efficient; with Init[B] it does not (Hayou, Ghosh, Yu 2024, arXiv 2406.08447, §4)."
                    .to_owned(),
            ],
            figures: vec![Figure {
                name: "lora_features".to_owned(),
                svg: figure.svg,
                caption: "The adapter in the middle, from the smallest to the largest.".to_owned(),
            }],
            ..Section::default()
        }),
        Err(FigureError::Nothing(_)) => None,
        Err(error) => return Err(error),
    };
    let mut report = Report {
        title: "A sweep of LoRA starts".to_owned(),
        found: summary.sentence(),
        facts: facts(summary, experiment),
        sections: vec![
            Section { heading: "Loss and learning rate".to_owned(), figures, ..Section::default() },
            Section {
                heading: "Each scheme at its best".to_owned(),
                text: vec![
                    "The optimum is where a parabola through the logarithms of the lowest mean loss and its neighbours is lowest. The grid leaves it open \
                     between the lowest places of this one and of those through the points on either side, or up to the next rate. The interval is Student's \
                     at 95 % around that, with the standard error of a bootstrap over seeds in which the best rate is looked for again every time; beyond \
                     the smallest and the largest rate tried it has no bound. The edge is \
                     the last rate before, and the first at which, a seed diverged or the loss ended above the base's."
                        .to_owned(),
                ],
                tables: vec![schemes(summary)],
                ..Section::default()
            },
            Section {
                heading: "Schemes compared".to_owned(),
                text: comparison_words(summary),
                tables: vec![comparisons(summary)],
                ..Section::default()
            },
            Section {
                heading: "Every learning rate".to_owned(),
                tables: vec![rates(summary)],
                ..Section::default()
            },
        ],
    };
    if let Some(inside) = inside {
        report.sections.insert(1, inside);
    }
    Ok(report)
}

pub(crate) fn facts(summary: &Summary, experiment: &Experiment) -> Vec<(String, String)> {
    let mut facts: Vec<(String, String)> = experiment
        .to_toml()
        .lines()
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let setting = &summary.setting;
    facts.push(("base alone".to_owned(), setting.base_loss.map_or_else(|| "–".to_owned(), loss_text)));
    facts.push(("device".to_owned(), setting.device.clone()));
    facts.push(("loralab".to_owned(), summary.version.clone()));
    facts.push(("wall time".to_owned(), seconds(setting.wall_seconds)));
    facts
}

pub(crate) fn schemes(summary: &Summary) -> Table {
    let has_tokens = summary.setting.has_tokens();
    let of_labels = summary.label_measures();
    let head = [
        &["scheme", "best rate tried", "optimum", "lower", "upper", "plateau from", "to", "loss", "lower", "upper"][..],
        if has_tokens { &["perplexity", "bits per byte"] } else { &[] },
        &[summary.setting.accuracy.words()],
        of_labels.as_ref().map_or(&[], |names| &names[..]),
        &["edge after", "at", "runs", "diverged"],
    ]
    .concat();
    let rows = summary.schemes.iter().map(|scheme| {
        let optimum = scheme.optimum.as_ref();
        let mut row = vec![
            Cell::text(&scheme.scheme),
            Cell::number(scheme.best_learning_rate, learning_rate_text),
            Cell::number(optimum.map(|optimum| optimum.learning_rate), rounded_rate_text),
        ];
        row.extend(Cell::bounds(optimum.and_then(Optimum::bounds), rounded_rate_text));
        row.extend(Cell::ends(optimum.and_then(|optimum| optimum.plateau), rounded_rate_text));
        row.push(Cell::number(scheme.best_loss, loss_text));
        row.extend(Cell::ends(optimum.and_then(|optimum| optimum.loss_interval), loss_text));
        if has_tokens {
            row.extend(
                [scheme.best_perplexity, scheme.best_bits_per_byte].map(|measure| Cell::number(measure, loss_text)),
            );
        }
        row.push(Cell::number(scheme.best_accuracy, |share| fixed_text(share, 3)));
        if of_labels.is_some() {
            let values = scheme.label_measures().map_or([None; 2], |(_, values)| values);
            row.extend(values.map(|value| Cell::number(value, |value| fixed_text(value, 3))));
        }
        row.extend(Cell::ends(optimum.and_then(|optimum| optimum.divergence_edge), learning_rate_text));
        row.extend([Cell::whole(scheme.runs), Cell::whole(scheme.diverged())]);
        row
    });
    Table {
        name: "schemes".to_owned(),
        caption: format!("Losses in {}.", summary.loss_unit()),
        head: head.into_iter().map(str::to_owned).collect(),
        rows: rows.collect(),
    }
}

fn comparison_words(summary: &Summary) -> Vec<String> {
    match &summary.comparisons[..] {
        [] => vec!["There is one scheme, so there is nothing to compare.".to_owned()],
        [_] => vec!["Seeds are shared, so each difference is one within seeds.".to_owned()],
        pairs => vec![format!(
            "Seeds are shared, so each difference is one within seeds. {} pairs are compared, so each interval is one of {} %, for 95 % together \
             (Bonferroni).",
            pairs.len(),
            fixed_text(100.0 * pairs[0].level, 1)
        )],
    }
}

pub(crate) fn comparisons(summary: &Summary) -> Table {
    let head = [
        "lower loss",
        "other",
        "loss higher by",
        "lower",
        "upper",
        "differ",
        "optimum, times the other's",
        "lower",
        "upper",
        "differ",
    ];
    let differ = |differ: Option<bool>| match differ {
        Some(true) => Cell::text("yes"),
        Some(false) => Cell::text("not significant"),
        None => Cell::text("not known"),
    };
    let rows = summary.comparisons.iter().map(|pair| {
        let mut row = vec![
            Cell::text(&pair.first),
            Cell::text(&pair.second),
            Cell::number(Some(pair.loss_difference), loss_text),
        ];
        row.extend(Cell::ends(pair.loss_difference_interval, loss_text));
        row.extend([differ(pair.losses_differ()), Cell::number(Some(pair.rate_ratio), factor_text)]);
        row.extend(Cell::bounds(pair.bounds(), factor_text));
        row.push(differ(pair.rates_differ()));
        row
    });
    Table {
        name: "comparisons".to_owned(),
        caption: "Each scheme at its own best. Losses are those at the best rate tried.".to_owned(),
        head: head.map(str::to_owned).into(),
        rows: rows.collect(),
    }
}

fn rates(summary: &Summary) -> Table {
    let has_stopped = summary.schemes.iter().any(|scheme| scheme.stopped() > 0);
    let mut head = vec!["scheme", "learning rate", "mean loss", "lowest", "highest", "diverged", "stable"];
    head.extend(has_stopped.then_some("stopped early"));
    let rows = summary.schemes.iter().flat_map(|scheme| {
        scheme.learning_rates.iter().map(|rate| {
            let mut row = vec![
                Cell::text(&scheme.scheme),
                Cell::number(Some(rate.learning_rate), learning_rate_text),
                Cell::number(rate.mean_loss, loss_text),
            ];
            row.extend(Cell::ends(rate.range().map(|(low, high)| [low, high]), loss_text));
            row.extend([Cell::whole(rate.diverged), Cell::text(if rate.stable { "yes" } else { "no" })]);
            row.extend(has_stopped.then(|| Cell::whole(rate.stopped)));
            row
        })
    });
    Table {
        name: "rates".to_owned(),
        caption: format!("Losses in {}, over seeds.", summary.loss_unit()),
        head: head.into_iter().map(str::to_owned).collect(),
        rows: rows.collect(),
    }
}
