//! The LoRA features over steps, each scheme at its best learning rate.

use loralab_experiment::{Looks, SchemeSummary, Summary, learning_rate_text};

use crate::FigureError;
use crate::panels::{Line, Panel, PanelPoint, Panels, panels};

/// ‖Z_A‖ and ‖Z_B‖ over optimiser steps, a panel each.
///
/// # Errors
/// [`FigureError::Nothing`] when no run at a best rate was looked into.
pub fn features(summary: &Summary, looks: &[Looks]) -> Result<String, FigureError> {
    let panel = |title: &str, of: fn(&Looks) -> &Vec<f64>| {
        let line = |(look, scheme): (usize, &SchemeSummary)| {
            let best = scheme.best_learning_rate?;
            let is_best = |looks: &&Looks| looks.cell.scheme == scheme.scheme && looks.cell.learning_rate == best;
            let seeds: Vec<&Looks> = looks.iter().filter(is_best).collect();
            let steps = seeds.iter().map(|looks| &looks.steps).max_by_key(|steps| steps.len())?;
            let point = |step: &usize| {
                let at = |looks: &&Looks| Some(of(looks)[looks.steps.iter().position(|other| other == step)?]);
                let values: Vec<f64> = seeds.iter().filter_map(at).collect();
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
                let highest = values.iter().copied().fold(0.0, f64::max);
                PanelPoint { x: *step as f64, y: mean, interval: Some([lowest, highest]) }
            };
            let name = format!("{} at {}", scheme.scheme, learning_rate_text(best));
            Some(Line { name, look, dashed: false, points: steps.iter().map(point).collect() })
        };
        Panel {
            title: title.to_owned(),
            x_title: "step".to_owned(),
            y_title: format!("{title}, root mean square"),
            logarithmic: false,
            x_ticks: vec![],
            lines: summary.schemes.iter().enumerate().filter_map(line).collect(),
        }
    };
    panels(&Panels {
        title: "LoRA features at each scheme's best learning rate".to_owned(),
        note: "means over adapters and seeds, from the lowest to the highest seed".to_owned(),
        description: summary.sentence(),
        panels: vec![panel("‖Z_A‖", |looks| &looks.z_a), panel("‖Z_B‖", |looks| &looks.z_b)],
        columns: 2,
        dashes: None,
    })
}
