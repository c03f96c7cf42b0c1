//! The laws by which tensors are filled.

use crate::Stream;

/// How numbers are distributed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Law {
    /// All are 0.
    Zeros,
    /// Uniform inside ± this bound.
    Uniform(f32),
    /// Normal of this standard deviation.
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
