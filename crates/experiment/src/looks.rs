//! How the LoRA features of runs grew, gathered from the looks inside their adapters.

use crate::diagnostics::Diagnosis;
use crate::event::Event;
use crate::grid::Cell;

/// The looks into one run, by rising step.
#[derive(Clone, Debug, PartialEq)]
pub struct Looks {
    /// Which run.
    pub cell: Cell,
    /// The steps that were looked at.
    pub steps: Vec<usize>,
    /// Mean over the adapters of Z_A's root mean square after each.
    pub z_a: Vec<f64>,
    /// The same of Z_B.
    pub z_b: Vec<f64>,
}

impl Looks {
    /// The looks into every run that the events tell of, in order of first appearance.
    pub fn gather<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for event in events {
            let Event::Diagnosis { cell, step, adapters } = event else { continue };
            if adapters.is_empty() {
                continue;
            }
            let place = all.iter().position(|looks| looks.cell == *cell).unwrap_or_else(|| {
                all.push(Self { cell: cell.clone(), steps: vec![], z_a: vec![], z_b: vec![] });
                all.len() - 1
            });
            let mean =
                |of: fn(&Diagnosis) -> f64| loralab_statistics::mean(&adapters.iter().map(of).collect::<Vec<_>>());
            let looks = &mut all[place];
            looks.steps.push(*step);
            looks.z_a.push(mean(|adapter| adapter.z_a));
            looks.z_b.push(mean(|adapter| adapter.z_b));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::tests::healthy;

    #[test]
    fn means_over_adapters_by_step() {
        let cell = |seed| Cell { scheme: "init-a".to_owned(), learning_rate: 1e-3, seed };
        let adapter = |z_a, z_b| Diagnosis { z_a, z_b, ..healthy() };
        let look = |seed, step, adapters| Event::Diagnosis { cell: cell(seed), step, adapters };
        let events = [
            look(0, 10, vec![adapter(1.0, 0.5), adapter(3.0, 1.5)]),
            look(1, 10, vec![adapter(7.0, 7.0)]),
            Event::Base { loss: None, accuracy: None },
            look(0, 20, vec![adapter(2.0, 2.0)]),
            look(0, 30, vec![]),
        ];
        let looks = Looks::gather(&events);
        assert_eq!(looks.len(), 2);
        assert_eq!(looks[0], Looks { cell: cell(0), steps: vec![10, 20], z_a: vec![2.0, 2.0], z_b: vec![1.0, 2.0] });
        assert_eq!(looks[1].cell, cell(1));
    }
}
