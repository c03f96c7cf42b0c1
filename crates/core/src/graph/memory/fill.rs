//! Random initial values that each device draws itself instead of receiving them from the host.

use loralab_linalg::{Law, Stream};

/// A part of a flat buffer and the random numbers that fill it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fill {
    /// Index of the first element.
    pub offset: usize,
    /// Number of elements.
    pub len: usize,
    /// The stream of random numbers.
    pub stream: Stream,
    /// Distribution of the numbers.
    pub law: Law,
}

/// Initial values of a run that are given by random streams instead of stored numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    /// The filled parts of the run's flat buffer; all other elements are 0.
    pub fills: Vec<Fill>,
    /// Number of elements of the buffer.
    pub len: usize,
    /// Initial values of the frozen second pairs.
    pub pairs: Pairs,
}

/// Initial values of the frozen second pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// There are no second pairs.
    None,
    /// All zeros, so that they subtract nothing.
    Zeros,
    /// The same initial values as the trained tensors.
    Same,
}

impl Drawn {
    /// The initial values, drawn on the host. Every device must draw these same values.
    pub fn numbers(&self) -> Vec<f32> {
        let mut numbers = vec![0.0; self.len];
        for Fill { offset, len, stream, law } in &self.fills {
            law.fill(stream, &mut numbers[*offset..offset + len]);
        }
        numbers
    }

    /// The initial values of the frozen second pairs; empty if there are none.
    pub fn frozen_pairs(&self) -> Vec<f32> {
        match self.pairs {
            Pairs::None => vec![],
            Pairs::Zeros => vec![0.0; self.len],
            Pairs::Same => self.numbers(),
        }
    }
}
