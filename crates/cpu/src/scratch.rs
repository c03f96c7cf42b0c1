//! Reusable working memory.

use std::mem::take;
use std::ops::Range;

use crate::Scalar;

/// Working memory of kernels. Keep one per thread and pass it to every call: it grows to the largest size needed and
/// then allocates no more. No data are passed from one call to the next.
#[derive(Debug, Default)]
pub struct Scratch<S> {
    weights: Vec<S>,
    buffer: Vec<S>,
    /// Attention's segments.
    pub(crate) limits: Vec<Range<usize>>,
}

impl<S: Scalar> Scratch<S> {
    /// Empty working memory.
    pub fn new() -> Self {
        Self { weights: Vec::new(), buffer: Vec::new(), limits: Vec::new() }
    }

    /// Memory for decoded weights.
    pub fn weights(&mut self) -> &mut Vec<S> {
        &mut self.weights
    }

    /// Memory for decoded weights, and disjoint slices of the given lengths. The slices hold *unspecified* values.
    pub fn split<const COUNT: usize>(&mut self, lengths: [usize; COUNT]) -> (&mut Vec<S>, [&mut [S]; COUNT]) {
        let total = lengths.iter().sum();
        if self.buffer.len() < total {
            self.buffer.resize(total, S::ZERO);
        }
        let mut rest = self.buffer.as_mut_slice();
        let slices = lengths.map(|length| {
            let (slice, tail) = take(&mut rest).split_at_mut(length);
            rest = tail;
            slice
        });
        (&mut self.weights, slices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_disjoint_and_as_long_as_asked() {
        let mut scratch = Scratch::<f64>::new();
        let (_, [a, b, c]) = scratch.split([2, 0, 3]);
        a.fill(1.0);
        c.fill(2.0);
        assert_eq!((a.len(), b.len(), c.len()), (2, 0, 3));
        assert_eq!(a, [1.0; 2]);
    }
}
