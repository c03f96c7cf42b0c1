//! The state of a cohort between two steps, to continue from on another device of the same kind.
//!
//! Together with the runs' starts and settings and the data order of their seeds, this is all that later steps depend on, so a cohort that continues from a
//! snapshot has the same bits as one that was never interrupted.

use crate::{
    device::{DeviceError, RunState},
    graph::plan::Plan,
    lab::train::Cohort,
};

/// The state of a cohort between two steps.
#[derive(Clone, Debug, PartialEq)]
pub struct CohortState {
    /// The number of steps done.
    pub step: usize,
    /// The state of every run, in order.
    pub runs: Vec<RunState>,
}

/// The reason that a cohort can't continue from a state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the state is of {found}, but the cohort has {needed}; it is of another experiment or another version, so begin anew"
)]
pub struct StateError {
    /// The state's contents.
    pub found: String,
    /// The contents that the cohort needs.
    pub needed: String,
}

impl CohortState {
    /// Checks that the state is of so many runs of a plan.
    ///
    /// # Errors
    /// If it has other sizes.
    pub(super) fn check(&self, runs: usize, plan: &Plan) -> Result<(), StateError> {
        let sizes = |runs, trained, moments| format!("{runs} runs of {trained} numbers and {moments} moments each");
        let trained = plan.trained_len();
        let moments = trained * plan.moments();
        let fits = |run: &RunState| run.trained.len() == trained && run.moments.len() == moments;
        if self.runs.len() != runs || !self.runs.iter().all(fits) {
            let first = self.runs.first().map_or((0, 0), |run| (run.trained.len(), run.moments.len()));
            let found = sizes(self.runs.len(), first.0, first.1);
            return Err(StateError { found, needed: sizes(runs, trained, moments) });
        }
        Ok(())
    }
}

impl Cohort<'_> {
    /// The current state of the cohort. The outcomes of all queued steps must have been read.
    ///
    /// # Errors
    /// If the device fails.
    pub async fn state(&mut self) -> Result<CohortState, DeviceError> {
        let step = self.steps_done();
        Ok(CohortState { step, runs: self.device().states().await? })
    }

    /// Continues from a state of a cohort with the same starts and settings. This cohort must not have done a step.
    ///
    /// # Errors
    /// If the state is of a cohort with other sizes.
    pub fn restore(&mut self, state: &CohortState) -> Result<(), StateError> {
        state.check(self.runs().len(), self.plan())?;
        self.device().restore(&state.runs);
        self.go_on_after(state.step);
        Ok(())
    }
}
