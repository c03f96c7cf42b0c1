//! A sweep between two steps, as bytes that can be kept.
//!
//! The bytes: the length of a header in 8 bytes, little-endian; the header, JSON; then every run's trained tensors and moments, f32 in
//! little-endian, run by run.

use loralab_experiment::{Cell, RunResult};
use serde::{Deserialize, Serialize};

use crate::{
    device::RunState,
    lab::train::{CohortState, StateError},
};

/// A sweep between two steps: what has ended, and the cohort that is under way. What its runs' losses were so far was told in events.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The cohort that is under way, from 0.
    pub cohort: usize,
    /// What the runs of the cohorts before it came to.
    pub results: Vec<RunResult>,
    /// The runs that are under way, as far as they are.
    pub begun: Vec<RunResult>,
    /// Where they are.
    pub state: CohortState,
}

/// Why bytes are no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// They end too early, or are longer than they say.
    #[error("the snapshot is not whole: it has {found} bytes, but says that it has {said}; begin anew")]
    Size {
        /// Bytes there are.
        found: usize,
        /// Bytes there should be.
        said: usize,
    },
    /// The header can't be read.
    #[error("the snapshot's header can't be read ({0}); it is of another version, so begin anew")]
    Header(#[from] serde_json::Error),
}

/// What a snapshot says before its numbers.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    cohort: usize,
    results: Vec<RunResult>,
    begun: Vec<RunResult>,
    step: usize,
    runs: Vec<Of>,
}

/// The same of one run.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Of {
    steps: u64,
    diverged: bool,
    trained: usize,
    moments: usize,
}

impl Snapshot {
    /// Sees that it is of a cohort of these cells.
    pub(super) fn check(&self, cells: &[Cell]) -> Result<(), StateError> {
        let begun: Vec<String> = self.begun.iter().map(|result| result.cell.id()).collect();
        let cells: Vec<String> = cells.iter().map(Cell::id).collect();
        if begun == cells { Ok(()) } else { Err(StateError { found: begun.join(", "), needed: cells.join(", ") }) }
    }

    /// The snapshot as bytes.
    ///
    /// # Panics
    /// Never: what it holds is JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Only what is small is copied.
        let Snapshot { cohort, results, begun, state } = self;
        let (results, begun) = (results.clone(), begun.clone());
        let of = |run: &RunState| Of {
            steps: run.steps,
            diverged: run.diverged,
            trained: run.trained.len(),
            moments: run.moments.len(),
        };
        let header =
            Header { cohort: *cohort, results, begun, step: state.step, runs: state.runs.iter().map(of).collect() };
        let header = serde_json::to_vec(&header).expect("a header is JSON");
        let numbers: usize = state.runs.iter().map(|run| run.trained.len() + run.moments.len()).sum();
        let mut bytes = Vec::with_capacity(8 + header.len() + 4 * numbers);
        bytes.extend((header.len() as u64).to_le_bytes());
        bytes.extend(header);
        for run in &self.state.runs {
            bytes.extend(run.trained.iter().chain(&run.moments).flat_map(|x| x.to_le_bytes()));
        }
        bytes
    }

    /// The snapshot that was written so.
    ///
    /// # Errors
    /// If the bytes are not whole, or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Snapshot, SnapshotError> {
        let size = |said: usize| SnapshotError::Size { found: bytes.len(), said };
        let (length, rest) = bytes.split_first_chunk::<8>().ok_or(size(8))?;
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let (header, mut numbers) = rest.split_at_checked(length).ok_or(size(length.saturating_add(8)))?;
        let Header { cohort, results, begun, step, runs } = serde_json::from_slice(header)?;
        let count = |run: &Of| run.trained.saturating_add(run.moments);
        let all = runs.iter().map(count).fold(0, usize::saturating_add).saturating_mul(4);
        if numbers.len() != all {
            return Err(size(all.saturating_add(length).saturating_add(8)));
        }
        let mut take = |count: usize| {
            let (taken, rest) = numbers.split_at(4 * count);
            numbers = rest;
            taken.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        };
        let run = |of: Of| RunState {
            trained: take(of.trained),
            moments: take(of.moments),
            steps: of.steps,
            diverged: of.diverged,
        };
        let state = CohortState { step, runs: runs.into_iter().map(run).collect() };
        Ok(Snapshot { cohort, results, begun, state })
    }
}

#[cfg(test)]
mod tests {
    use loralab_experiment::Evaluation;

    use super::*;

    #[test]
    fn a_snapshot_is_bytes_and_back() {
        let cell = Cell { scheme: "init-a".to_owned(), learning_rate: 2e-3, seed: 1 };
        let evaluations = vec![Evaluation { step: 2, loss: Some(0.5), accuracy: None }];
        let result = RunResult {
            cell,
            final_loss: None,
            accuracy: None,
            diverged: None,
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
        let snapshot = Snapshot { cohort: 1, results: vec![result.clone()], begun: vec![result], state };
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
