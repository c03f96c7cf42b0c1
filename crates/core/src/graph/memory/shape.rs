//! Sizes of a cohort's step.

/// Sizes that a plan is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Number of runs K.
    pub runs: usize,
    /// Sequences B per run.
    pub sequences: usize,
    /// Tokens T per sequence.
    pub tokens: usize,
}

impl Shape {
    /// Rows per run, B·T.
    pub fn rows_per_run(&self) -> usize {
        self.sequences * self.tokens
    }
}
