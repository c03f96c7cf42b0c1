//! The sizes of a cohort's step.

/// Shapes that a plan is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// K.
    pub runs: usize,
    /// B of each run.
    pub sequences: usize,
    /// T.
    pub tokens: usize,
}

impl Shape {
    /// Rows of one run, B·T.
    pub fn rows_per_run(&self) -> usize {
        self.sequences * self.tokens
    }
}
