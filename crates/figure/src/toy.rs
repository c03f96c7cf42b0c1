//! Figures of the toy experiment.

use loralab_experiment::{SchemeSummary, Toy, ToyReadout, ToyTrace, learning_rate_text};

use crate::FigureError;
use crate::exponents::powers;
use crate::palette::place_of;
use crate::panels::{Line, Panel, PanelPoint, Panels, panels};

/// The optimal learning rate against width, a panel for each readout, with the slopes that it is compared with.
///
/// # Errors
/// [`FigureError::Nothing`] when no start has an optimum.
pub fn toy_rates(found: &Toy) -> Result<String, FigureError> {
    let panel = |readout: &ToyReadout| {
        let widths: Vec<usize> = readout.widths.iter().map(|width| width.width).collect();
        let mut lines: Vec<Line> = starts(readout)
            .iter()
            .map(|name| {
                let points = readout.widths.iter().filter_map(|width| {
                    let optimum = width.starts.iter().find(|start| start.scheme == *name)?.optimum.as_ref()?;
                    Some(PanelPoint { x: width.width as f64, y: optimum.learning_rate, interval: optimum.bounds() })
                });
                Line { name: name.clone(), style: place_of(name), dashed: false, points: points.collect() }
            })
            .collect();
        let guides: Vec<Line> = [(0, -0.5, "C n^-1/2", 3), (0, -0.75, "C n^-3/4", 4), (1, -1.0, "C n^-1", 5)]
            .into_iter()
            .filter_map(|(start, slope, name, style)| {
                let line: &Line = lines.get(start)?;
                let (first, last) = (line.points.first()?, line.points.last()?);
                let at = |x: f64| PanelPoint::new(x, first.y * (x / first.x).powf(slope));
                Some(Line { name: name.to_owned(), style, dashed: true, points: vec![at(first.x), at(last.x)] })
            })
            .collect();
        lines.splice(0..0, guides);
        Panel {
            title: format!("readout of {}", readout.readout.words()),
            x_title: "width n".to_owned(),
            y_title: "optimal learning rate".to_owned(),
            logarithmic: true,
            x_ticks: powers(&widths),
            lines,
        }
    };
    panels(&Panels {
        title: "The optimal learning rate of students against their width".to_owned(),
        note: format!("{} steps; 95 % intervals, by a bootstrap over {} seeds", found.steps, found.seeds),
        description: found.sentence(),
        panels: found.readouts.iter().map(panel).collect(),
        columns: 2,
        dashes: None,
    })
}

/// Norms of Z_A and Z_B over steps, at the narrowest and the widest, each start at its best rate.
///
/// # Errors
/// [`FigureError::Nothing`] when nothing was recorded.
pub fn toy_norms(found: &Toy, readout: &ToyReadout) -> Result<String, FigureError> {
    let norm = |title: &str, of: fn(&ToyTrace) -> &Vec<Vec<f64>>| (title.to_owned(), of);
    let quantities = [norm("‖Z_A‖", |trace| &trace.z_a), norm("‖Z_B‖", |trace| &trace.z_b)];
    let mut all = Vec::new();
    for of_width in readout.traces.chunk_by(|a, b| a.width == b.width) {
        for (title, of) in &quantities {
            let lines = of_width.iter().map(|trace| seeds(trace, of(trace), false, ""));
            all.push(Panel {
                title: at_rates(of_width),
                x_title: "step".to_owned(),
                y_title: format!("{title}, mean over examples"),
                logarithmic: false,
                x_ticks: vec![],
                lines: lines.collect(),
            });
        }
    }
    panels(&Panels {
        title: format!("Norms of the LoRA features, readout of {}", readout.readout.words()),
        note: format!(
            "each start at its best learning rate; means of {} seeds, from the lowest to the highest",
            found.seeds
        ),
        description: readout.sentences().join(" "),
        panels: all,
        columns: 2,
        dashes: None,
    })
}

/// Training and test loss over steps, at the narrowest and the widest, each start at its best rate.
///
/// # Errors
/// [`FigureError::Nothing`] when nothing was recorded.
pub fn toy_losses(found: &Toy, readout: &ToyReadout) -> Result<String, FigureError> {
    let panel = |of_width: &[ToyTrace]| {
        let lines = of_width.iter().flat_map(|trace| {
            [seeds(trace, &trace.train, false, ", train"), seeds(trace, &trace.test, true, ", test")]
        });
        Panel {
            title: at_rates(of_width),
            x_title: "step".to_owned(),
            y_title: "mean squared error".to_owned(),
            logarithmic: false,
            x_ticks: vec![],
            lines: lines.collect(),
        }
    };
    panels(&Panels {
        title: format!("Training, readout of {}", readout.readout.words()),
        note: format!(
            "each start at its best learning rate; means of {} seeds, from the lowest to the highest",
            found.seeds
        ),
        description: readout.sentences().join(" "),
        panels: readout.traces.chunk_by(|a, b| a.width == b.width).map(panel).collect(),
        columns: 2,
        dashes: None,
    })
}

/// Final training loss against learning rate, a panel for each width.
///
/// # Errors
/// [`FigureError::Nothing`] when every run diverged.
pub fn toy_sweeps(found: &Toy, readout: &ToyReadout) -> Result<String, FigureError> {
    let line = |start: &SchemeSummary| {
        let point = |rate: &loralab_experiment::RateSummary| {
            let interval = rate.range().map(|(low, high)| [low, high]);
            Some(PanelPoint { x: rate.learning_rate, y: rate.mean_loss?, interval })
        };
        let points = start.learning_rates.iter().filter_map(point).collect();
        Line { name: start.scheme.clone(), style: place_of(&start.scheme), dashed: false, points }
    };
    let panel = |width: &loralab_experiment::ToyWidth| Panel {
        title: format!("width {}", width.width),
        x_title: "learning rate".to_owned(),
        y_title: "mean squared error".to_owned(),
        logarithmic: true,
        x_ticks: vec![],
        lines: width.starts.iter().map(line).collect(),
    };
    panels(&Panels {
        title: format!("Training loss against learning rate, readout of {}", readout.readout.words()),
        note: format!(
            "after {} steps; means of {} seeds, bars from the lowest to the highest",
            found.steps, found.seeds
        ),
        description: readout.sentences().join(" "),
        panels: readout.widths.iter().map(panel).collect(),
        columns: 3,
        dashes: None,
    })
}

fn starts(readout: &ToyReadout) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for start in readout.widths.iter().flat_map(|width| &width.starts) {
        if !names.contains(&start.scheme) {
            names.push(start.scheme.clone());
        }
    }
    names
}

/// `n = 128: init-a at 6e-2, init-b at 3e-2`
fn at_rates(of_width: &[ToyTrace]) -> String {
    let starts = of_width.iter().map(|trace| format!("{} at {}", trace.scheme, rate(trace.learning_rate)));
    let width = of_width.first().map_or(0, |trace| trace.width);
    format!("n = {width}: {}", starts.collect::<Vec<_>>().join(", "))
}

fn rate(learning_rate: f64) -> String {
    let rounded: f64 = format!("{learning_rate:.1e}").parse().unwrap_or(learning_rate);
    learning_rate_text(rounded)
}

/// The mean of the records over seeds, with the lowest and highest seed.
fn seeds(trace: &ToyTrace, records: &[Vec<f64>], dashed: bool, suffix: &str) -> Line {
    let point = |(place, &step): (usize, &usize)| {
        let of_step: Vec<f64> = records.iter().filter_map(|seed| seed.get(place).copied()).collect();
        let mean = of_step.iter().sum::<f64>() / of_step.len() as f64;
        let lowest = of_step.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = of_step.iter().copied().fold(0.0, f64::max);
        PanelPoint { x: step as f64, y: mean, interval: Some([lowest, highest]) }
    };
    let points = trace.steps.iter().enumerate().map(point).collect();
    Line { name: format!("{}{suffix}", trace.scheme), style: place_of(&trace.scheme), dashed, points }
}
