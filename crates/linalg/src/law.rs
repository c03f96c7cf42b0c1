//! Distributions of the random elements of tensors.

use crate::Stream;

/// A distribution of numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Law {
    /// All are 0.
    Zeros,
    /// Uniform within ± this bound.
    Uniform(f32),
    /// Normal with mean 0 and this standard deviation.
    Normal(f32),
}

impl Law {
    /// Fills `out` from a stream.
    pub fn fill(self, stream: &Stream, out: &mut [f32]) {
        match self {
            Law::Zeros => out.fill(0.0),
            Law::Uniform(bound) => stream.uniform(bound, out),
            Law::Normal(deviation) => stream.normal(deviation, out),
        }
    }
}
