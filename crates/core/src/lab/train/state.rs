//! A cohort between two steps, to go on from on another device of the same kind.
//!
//! Together with what a cohort begins with (its runs' starts and settings, the data order of its seeds) this is all that the steps to come depend on,
//! so a cohort that goes on from a snapshot has the same bits as one that was never interrupted.

use crate::{
    device::{DeviceError, RunState},
    lab::train::Cohort,
};

/// A cohort between two steps.
#[derive(Clone, Debug, PartialEq)]
pub struct CohortState {
    /// Steps done.
    pub step: usize,
    /// Every run, in order.
    pub runs: Vec<RunState>,
}

/// Why a cohort can't go on from a state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the state is of {found}, but the cohort has {needed}; it is of another experiment or another version, so begin anew"
)]
pub struct StateError {
    /// What the state holds.
    pub found: String,
    /// What the cohort has.
    pub needed: String,
}

impl Cohort<'_> {
    /// The cohort as it stands. Every step that was handed over must have been asked about.
    ///
    /// # Errors
    /// If the device fails.
    pub async fn state(&mut self) -> Result<CohortState, DeviceError> {
        let step = self.steps_done();
        Ok(CohortState { step, runs: self.device().states().await? })
    }

    /// Goes on from a state of a cohort that began as this one; which must not have made a step.
    ///
    /// # Errors
    /// If the state is of a cohort of other sizes.
    pub fn restore(&mut self, state: &CohortState) -> Result<(), StateError> {
        let sizes = |runs, trained, moments| format!("{runs} runs of {trained} numbers and {moments} moments each");
        let (runs, trained) = (self.runs().len(), self.plan().trained_len());
        let moments = trained * self.plan().moments();
        let fits = |run: &RunState| run.trained.len() == trained && run.moments.len() == moments;
        if state.runs.len() != runs || !state.runs.iter().all(fits) {
            let first = state.runs.first().map_or((0, 0), |run| (run.trained.len(), run.moments.len()));
            let found = sizes(state.runs.len(), first.0, first.1);
            return Err(StateError { found, needed: sizes(runs, trained, moments) });
        }
        self.device().restore(&state.runs);
        self.go_on_after(state.step);
        Ok(())
    }
}
