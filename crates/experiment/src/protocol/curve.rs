//! The training history of each run, collected from events.

use crate::config::grid::Cell;
use crate::protocol::diagnostics::Diagnosis;
use crate::protocol::event::Event;

/// A loss at a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Optimiser steps: the step itself for a training loss, the steps done for a validation loss.
    pub step: usize,
    /// The loss, finite, in nats per token.
    pub loss: f64,
}

/// A diagnostics snapshot of a run's adapters.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterSnapshot {
    /// The step that was diagnosed, from 1.
    pub step: usize,
    /// See [`Event::Diagnosis`].
    pub kl_from_base: Option<f64>,
    /// The diagnosis of each adapter.
    pub adapters: Vec<Diagnosis>,
}

impl AdapterSnapshot {
    /// The [`spread`] of a quantity over the adapters, or over the adapter named `module`; none if there is no such adapter.
    pub fn spread(&self, module: Option<&str>, of: impl Fn(&Diagnosis) -> f64) -> Option<[f64; 3]> {
        let meant = |adapter: &&Diagnosis| module.is_none_or(|module| adapter.module == module);
        spread(self.adapters.iter().filter(meant).map(of))
    }
}

/// The smallest, middle and largest of some numbers; none without numbers. Of an even number of them, the middle is the lower of two, so that it is one of them.
pub fn spread(values: impl IntoIterator<Item = f64>) -> Option<[f64; 3]> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    Some([*values.first()?, values[(values.len() - 1) / 2], *values.last()?])
}

/// The training history of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// The run's cell.
    pub cell: Cell,
    /// The training loss of every reported step.
    pub training: Vec<Point>,
    /// The validation losses.
    pub validation: Vec<Point>,
    /// The step in which the run diverged.
    pub diverged: Option<usize>,
    /// The diagnostics snapshots of its adapters, by rising step.
    pub snapshots: Vec<AdapterSnapshot>,
}

impl Curve {
    /// The training history of every run that the events mention, in order of first appearance.
    pub fn gather<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<Self> {
        let mut curves: Vec<Self> = Vec::new();
        // One key per run, so that a long log of many runs is not compared cell by cell.
        let mut places = std::collections::HashMap::<(&str, u64, u64), usize>::new();
        for event in events {
            let Some(cell) = event.cell() else { continue };
            let key = (cell.scheme.as_str(), cell.learning_rate.to_bits(), cell.seed);
            let place = *places.entry(key).or_insert_with(|| {
                curves.push(Self {
                    cell: cell.clone(),
                    training: vec![],
                    validation: vec![],
                    diverged: None,
                    snapshots: vec![],
                });
                curves.len() - 1
            });
            let curve = &mut curves[place];
            match event {
                Event::Step { step, loss: Some(loss), .. } => {
                    curve.training.push(Point { step: *step, loss: *loss });
                }
                Event::Evaluation { step, loss: Some(loss), .. } => {
                    curve.validation.push(Point { step: *step, loss: *loss });
                }
                Event::Diverged { step, .. } => curve.diverged = Some(*step),
                Event::Diagnosis { step, kl_from_base, adapters, .. } => {
                    let (step, kl_from_base, adapters) = (*step, *kl_from_base, adapters.clone());
                    curve.snapshots.push(AdapterSnapshot { step, kl_from_base, adapters });
                }
                _ => {}
            }
        }
        curves
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::run::TextMeasures;

    #[test]
    fn curves_gather_what_belongs_to_a_run() {
        let cell = |seed| Cell { scheme: "init-a".to_owned(), learning_rate: 1e-3, seed };
        let step =
            |seed, step, loss| Event::Step { cell: cell(seed), step, loss, learning_rate: 1e-3, gradient_norm: None };
        let events = [
            Event::Base { loss: Some(9.0), accuracy: None, text: TextMeasures::default() },
            step(1, 1, Some(3.0)),
            step(0, 1, Some(2.0)),
            step(1, 2, None),
            Event::Diagnosis { cell: cell(0), step: 2, kl_from_base: None, adapters: vec![] },
            Event::Diagnosis { cell: cell(0), step: 4, kl_from_base: None, adapters: vec![] },
            Event::Diverged { cell: cell(1), step: 2, tensor: "logits".to_owned() },
            Event::Evaluation {
                cell: cell(0),
                step: 1,
                loss: Some(1.5),
                accuracy: None,
                text: TextMeasures::default(),
            },
        ];
        let curves = Curve::gather(&events);
        assert_eq!(
            curves,
            [
                Curve {
                    cell: cell(1),
                    training: vec![Point { step: 1, loss: 3.0 }],
                    validation: vec![],
                    diverged: Some(2),
                    snapshots: vec![],
                },
                Curve {
                    cell: cell(0),
                    training: vec![Point { step: 1, loss: 2.0 }],
                    validation: vec![Point { step: 1, loss: 1.5 }],
                    diverged: None,
                    snapshots: vec![
                        AdapterSnapshot { step: 2, kl_from_base: None, adapters: vec![] },
                        AdapterSnapshot { step: 4, kl_from_base: None, adapters: vec![] }
                    ],
                },
            ]
        );
    }
}
