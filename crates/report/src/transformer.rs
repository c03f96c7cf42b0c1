//! The report of `reproduce transformer`.

use loralab_experiment::{Transformer, factor_text, loss_text, rounded_rate_text};
use loralab_figure::{FigureError, loss_by_learning_rate, transformer, transformer_sweeps};

use crate::{Cell, Figure, Report, Section, Table, crossing::of_pairs, seconds, sweep};

/// What was found of decoders of several widths, and of the shipped base.
///
/// # Errors
/// If no run has come to its end, or a figure cannot be drawn.
pub fn of_transformer(found: &Transformer) -> Result<Report, FigureError> {
    let figure =
        |name: &str, svg: String, caption: &str| Figure { name: name.to_owned(), svg, caption: caption.to_owned() };
    let shipped = &found.shipped.summary;
    let mut sections = vec![
        Section {
            heading: "The learning rate each start wants".to_owned(),
            figures: vec![figure(
                "transformer",
                transformer(found)?,
                "Left: final validation loss on the shipped base against the learning rate. Right: each start's optimum on decoders of several widths.",
            )],
            ..Section::default()
        },
        Section {
            heading: "Width".to_owned(),
            text: [
                vec![format!(
                    "Decoders of {} layers with heads of {} columns, differing in their width and, with it, in the number of heads and the feed-forward \
                     columns, were each pretrained from nothing for {} steps of {} sequences of {} bytes on the same text of the little world. On each, the \
                     starts were swept over learning rates that were searched for (doublings; the best and its neighbours have every seed). The optimum is \
                     where a parabola through the logarithms of the lowest mean loss and its neighbours is lowest; its 95 % interval is Student's around what the grid leaves open, with the \
                     standard error of a bootstrap over seeds.",
                    found.layers,
                    found.head_size,
                    found.pretraining_steps,
                    found.pretraining_batch[0],
                    found.pretraining_batch[1]
                )],
                found.width_sentences(),
            ]
            .concat(),
            figures: vec![figure(
                "sweeps",
                transformer_sweeps(found)?,
                "The sweeps that the optima are read off. Bars go from the lowest to the highest seed.",
            )],
            tables: vec![optima(found)],
        },
        Section {
            heading: "The shipped base".to_owned(),
            text: vec![shipped.sentence()],
            figures: vec![figure(
                "loss_by_learning_rate",
                loss_by_learning_rate(shipped)?.svg,
                "Final validation loss against learning rate, from the lowest to the highest seed. Rings are the best of the rates tried; above, each start's \
                 optimum with its 95 % interval, and the rates within one standard error of the best.",
            )],
            tables: vec![sweep::schemes(shipped), sweep::comparisons(shipped)],
        },
    ];
    sections.push(of_pairs(&found.shipped)?);
    Ok(Report {
        title: "The best learning rate of LoRA's starts in a transformer".to_owned(),
        found: found.sentence(),
        facts: facts(found),
        sections,
    })
}

fn facts(found: &Transformer) -> Vec<(String, String)> {
    let widths: Vec<String> = found.widths.iter().map(|width| width.width.to_string()).collect();
    let mut facts = vec![("widths".to_owned(), widths.join(", "))];
    let shipped = sweep::facts(&found.shipped.summary, &found.shipped.experiment);
    facts.extend(shipped.into_iter().filter(|(name, _)| !["wall time", "loralab", "device"].contains(&name.as_str())));
    facts.push(("device".to_owned(), found.device.clone()));
    facts.push(("loralab".to_owned(), found.version.clone()));
    facts.push(("wall time".to_owned(), seconds(found.wall_seconds)));
    facts
}

fn optima(found: &Transformer) -> Table {
    let head = [
        "width",
        "weights",
        "pretraining loss",
        "start",
        "optimum",
        "lower",
        "upper",
        "loss",
        "lower",
        "upper",
        "edge after",
        "at",
        "runs",
        "optimum, times the other's",
    ];
    let mut rows = Vec::new();
    for width in &found.widths {
        for scheme in &width.summary.schemes {
            let optimum = scheme.optimum.as_ref();
            let mut row = vec![
                Cell::whole(width.width),
                Cell::whole(width.parameters),
                Cell::number(Some(width.pretraining_loss), loss_text),
                Cell::text(&scheme.scheme),
                Cell::number(optimum.map(|optimum| optimum.learning_rate), rounded_rate_text),
            ];
            row.extend(Cell::bounds(optimum.and_then(|optimum| optimum.bounds()), rounded_rate_text));
            row.push(Cell::number(scheme.best_loss, loss_text));
            row.extend(Cell::ends(optimum.and_then(|optimum| optimum.loss_interval), loss_text));
            row.extend(Cell::ends(optimum.and_then(|optimum| optimum.divergence_edge), rounded_rate_text));
            row.push(Cell::whole(scheme.runs));
            let pair = width.summary.comparisons.iter().find(|pair| pair.first == scheme.scheme);
            let pair = pair.filter(|_| width.summary.comparisons.len() == 1);
            row.push(Cell::number(pair.map(|pair| pair.rate_ratio), factor_text));
            rows.push(row);
        }
    }
    Table {
        name: "optima".to_owned(),
        caption: "Each start at its best, by width. Losses in nats per token. The last column stands at the start with the lower loss.".to_owned(),
        head: head.map(str::to_owned).into(),
        rows,
    }
}
