//! Saving and restoring the state of a run.

use loralab_cpu::Scalar;

use super::Run;
use crate::device::RunState;

impl<S: Scalar> Run<S> {
    /// The run's state, in f32.
    pub fn state(&self) -> RunState {
        let single = |values: &[S]| -> Vec<f32> { values.iter().map(|x| x.to_f64() as f32).collect() };
        RunState {
            trained: single(&self.trained),
            moments: [single(&self.first_moment), single(&self.second_moment)].concat(),
            steps: self.steps,
            diverged: self.diverged,
        }
    }

    /// Sets the trained values, moments and step count of the run to those of `state`.
    pub fn restore(&mut self, state: &RunState) {
        let RunState { trained, moments, steps, diverged } = state;
        let (first, second) = moments.split_at(self.first_moment.len());
        for (to, from) in
            [(&mut self.trained, &trained[..]), (&mut self.first_moment, first), (&mut self.second_moment, second)]
        {
            assert_eq!(to.len(), from.len(), "a state must fill the plan's parameters and its optimiser's moments");
            to.iter_mut().zip(from).for_each(|(to, &from)| *to = S::from_f32(from));
        }
        (self.steps, self.diverged) = (*steps, *diverged);
    }
}
