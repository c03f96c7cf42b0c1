//! The best checkpoints of runs: the adapters with the lowest loss of all validations during the training.

use serde::{Deserialize, Serialize};

use crate::{
    config::{
        grid::Cell,
        number::{learning_rate_text, loss_text},
    },
    protocol::run::RunResult,
};

/// The validation of a run with the lowest loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BestCheckpoint {
    /// The run.
    #[serde(flatten)]
    pub cell: Cell,
    /// The optimiser steps done before the validation.
    pub step: usize,
    /// Its mean validation loss, in nats per token.
    pub loss: f64,
}

impl BestCheckpoint {
    /// That of a run, the first of equal ones; none if no loss was finite.
    pub fn of(run: &RunResult) -> Option<Self> {
        let known = run.evaluations.iter().filter_map(|evaluation| Some((evaluation.step, evaluation.loss?)));
        let (step, loss) = known.min_by(|(_, one), (_, other)| one.total_cmp(other))?;
        Some(Self { cell: run.cell.clone(), step, loss })
    }

    /// A sentence on the best of each scheme; none if there are none.
    pub(super) fn in_words(all: &[Self]) -> Option<String> {
        let mut best: Vec<&Self> = vec![];
        for one in all {
            match best.iter_mut().find(|known| known.cell.scheme == one.cell.scheme) {
                Some(known) if one.loss < known.loss => *known = one,
                Some(_) => {}
                None => best.push(one),
            }
        }
        let words = |one: &&Self| {
            let Cell { scheme, learning_rate, seed } = &one.cell;
            let rate = learning_rate_text(*learning_rate);
            format!("{scheme} at {rate}, seed {seed}, after step {} ({})", one.step, loss_text(one.loss))
        };
        let words: Vec<String> = best.iter().map(words).collect();
        (!words.is_empty()).then(|| format!("Lowest validation losses: {}.", words.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        analysis::summary::tests::run,
        protocol::run::{Evaluation, TextMeasures},
    };

    fn validated(scheme: &str, seed: u64, losses: &[Option<f64>]) -> RunResult {
        let text = TextMeasures::default();
        let evaluation = |(step, &loss)| Evaluation { step, loss, accuracy: None, text };
        let evaluations = (10..).step_by(10).zip(losses).map(evaluation).collect();
        RunResult { evaluations, ..run(scheme, 1e-3, seed, 0.9) }
    }

    #[test]
    fn the_lowest_loss_is_found_and_said() {
        let losses: [&[Option<f64>]; 3] = [&[Some(0.5), Some(0.25), Some(0.25), None], &[Some(0.75)], &[None]];
        let runs = [("x", losses[1]), ("x", losses[0]), ("y", losses[1]), ("y", losses[2])];
        let runs: Vec<RunResult> =
            (0..).zip(runs).map(|(seed, (scheme, losses))| validated(scheme, seed, losses)).collect();
        let best: Vec<BestCheckpoint> = runs.iter().filter_map(BestCheckpoint::of).collect();
        let steps: Vec<(u64, usize)> = best.iter().map(|one| (one.cell.seed, one.step)).collect();
        assert_eq!(steps, [(0, 10), (1, 20), (2, 10)]);
        assert_eq!(
            BestCheckpoint::in_words(&best).as_deref(),
            Some(
                "Lowest validation losses: x at 1e-3, seed 1, after step 20 (0.250); y at 1e-3, seed 2, after step 10 (0.750)."
            )
        );
        assert_eq!(BestCheckpoint::in_words(&[]), None);
    }
}
