//! A snapshot of a sweep between two steps, as bytes that can be stored.
//!
//! The format: the length of a header in 8 bytes, little-endian; the header, JSON; then every run's trained tensors, moments and best checkpoint, f32 in
//! little-endian, run by run.

use loralab_experiment::{Cell, RunResult};
use serde::{Deserialize, Serialize};

use crate::{
    device::RunState,
    lab::train::{CohortState, StateError},
};

/// A sweep between two steps: the results so far, and the cohort in training. The training history of its runs was reported in events.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The index of the cohort in training, from 0.
    pub cohort: usize,
    /// The results of the runs of earlier cohorts.
    pub results: Vec<RunResult>,
    /// The results so far of the runs in training.
    pub running: Vec<RunResult>,
    /// The state of those runs.
    pub state: CohortState,
    /// The best checkpoint of each of those runs so far, for a sweep that keeps them.
    pub best: Vec<Option<Checkpoint>>,
}

/// The adapter of a run at one of its validations.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The validation loss.
    pub loss: f64,
    /// The trained tensors, flat, in the order of the plan's parameters.
    pub trained: Vec<f32>,
}

/// The reasons that bytes are not a valid snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// They are shorter or longer than the header says.
    #[error("the snapshot is not whole: it has {found} bytes, but says that it has {said}; begin anew")]
    Size {
        /// The number of bytes present.
        found: usize,
        /// The number of bytes expected.
        said: usize,
    },
    /// The header can't be read.
    #[error("the snapshot's header can't be read ({0}); it is of another version, so begin anew")]
    Header(#[from] serde_json::Error),
}

/// The header of a snapshot.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    cohort: usize,
    results: Vec<RunResult>,
    #[serde(rename = "begun")]
    running: Vec<RunResult>,
    step: usize,
    runs: Vec<Of>,
}

/// The header's entry for one run.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Of {
    steps: u64,
    diverged: bool,
    trained: usize,
    moments: usize,
    /// The loss of the best checkpoint, which has as many numbers as `trained`.
    #[serde(default)]
    best: Option<f64>,
}

impl Of {
    fn numbers(&self) -> usize {
        let best = if self.best.is_some() { self.trained } else { 0 };
        self.trained.saturating_add(self.moments).saturating_add(best)
    }
}

impl Snapshot {
    /// Checks that the snapshot is of a cohort of these cells.
    pub(super) fn check(&self, cells: &[Cell]) -> Result<(), StateError> {
        let running: Vec<String> = self.running.iter().map(|result| result.cell.id()).collect();
        let cells: Vec<String> = cells.iter().map(Cell::id).collect();
        if running == cells { Ok(()) } else { Err(StateError { found: running.join(", "), needed: cells.join(", ") }) }
    }

    /// The snapshot as bytes.
    ///
    /// # Panics
    /// Never: everything it holds can be written as JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        // The trained tensors are not copied into the header.
        let Snapshot { cohort, results, running, state, best } = self;
        let (results, running) = (results.clone(), running.clone());
        let of = |(run, best): (&RunState, &Option<Checkpoint>)| Of {
            steps: run.steps,
            diverged: run.diverged,
            trained: run.trained.len(),
            moments: run.moments.len(),
            best: best.as_ref().map(|best| best.loss),
        };
        let runs: Vec<Of> = state.runs.iter().zip(best).map(of).collect();
        let numbers: usize = runs.iter().map(Of::numbers).sum();
        let header = Header { cohort: *cohort, results, running, step: state.step, runs };
        let header = serde_json::to_vec(&header).expect("a header is JSON");
        let mut bytes = Vec::with_capacity(8 + header.len() + 4 * numbers);
        bytes.extend((header.len() as u64).to_le_bytes());
        bytes.extend(header);
        for (run, best) in state.runs.iter().zip(best) {
            let best = best.iter().flat_map(|best| &best.trained);
            bytes.extend(run.trained.iter().chain(&run.moments).chain(best).flat_map(|x| x.to_le_bytes()));
        }
        bytes
    }

    /// Reads a snapshot that [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// If the bytes are incomplete, or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Snapshot, SnapshotError> {
        let size = |said: usize| SnapshotError::Size { found: bytes.len(), said };
        let (length, rest) = bytes.split_first_chunk::<8>().ok_or(size(8))?;
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let (header, mut numbers) = rest.split_at_checked(length).ok_or(size(length.saturating_add(8)))?;
        let Header { cohort, results, running, step, runs } = serde_json::from_slice(header)?;
        let all = runs.iter().map(Of::numbers).fold(0, usize::saturating_add).saturating_mul(4);
        if numbers.len() != all {
            return Err(size(all.saturating_add(length).saturating_add(8)));
        }
        let mut take = |count: usize| {
            let (taken, rest) = numbers.split_at(4 * count);
            numbers = rest;
            taken.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        };
        let run = |of: Of| {
            let (trained, moments) = (take(of.trained), take(of.moments));
            let best = of.best.map(|loss| Checkpoint { loss, trained: take(of.trained) });
            (RunState { trained, moments, steps: of.steps, diverged: of.diverged }, best)
        };
        let (runs, best) = runs.into_iter().map(run).unzip();
        Ok(Snapshot { cohort, results, running, state: CohortState { step, runs }, best })
    }
}

#[cfg(test)]
mod tests {
    use loralab_experiment::{Evaluation, TextMeasures};

    use super::*;

    #[test]
    fn a_snapshot_is_bytes_and_back() {
        let cell = Cell { scheme: "init-a".to_owned(), learning_rate: 2e-3, seed: 1 };
        let evaluations = vec![Evaluation { step: 2, loss: Some(0.5), accuracy: None, text: TextMeasures::default() }];
        let result = RunResult {
            cell,
            final_loss: None,
            accuracy: None,
            classes: None,
            correlations: None,
            diverged: None,
            stopped: None,
            failed: None,
            start: None,
            evaluations,
            seconds: 0.0,
        };
        let run = |steps, trained: &[f32], moments: &[f32]| RunState {
            trained: trained.to_vec(),
            moments: moments.to_vec(),
            steps,
            diverged: steps == 1,
        };
        let runs = vec![run(1, &[1.5, f32::INFINITY], &[0.1]), run(3, &[f32::MIN_POSITIVE, -0.0], &[7.0])];
        let state = CohortState { step: 3, runs };
        let best = vec![None, Some(Checkpoint { loss: 0.5, trained: vec![2.5, 3.0] })];
        let snapshot =
            Snapshot { cohort: 1, results: vec![result.clone()], running: vec![result.clone(), result], state, best };
        let bytes = snapshot.to_bytes();
        assert_eq!(Snapshot::from_bytes(&bytes).expect("it is whole"), snapshot);
        for cut in [0, 7, 20, bytes.len() - 1] {
            assert!(matches!(Snapshot::from_bytes(&bytes[..cut]), Err(SnapshotError::Size { .. })), "{cut}");
        }
        assert!(matches!(Snapshot::from_bytes(&[bytes.clone(), vec![0]].concat()), Err(SnapshotError::Size { .. })));
        let other = bytes.iter().map(|&byte| if byte == b'"' { b'x' } else { byte }).collect::<Vec<_>>();
        assert!(matches!(Snapshot::from_bytes(&other), Err(SnapshotError::Header(_))));
    }
}
