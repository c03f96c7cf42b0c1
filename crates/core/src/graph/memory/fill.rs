//! Numbers that are drawn where they will be used, instead of being brought there.

use loralab_linalg::{Law, Stream};

/// A part of a flat buffer, and what it is filled with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fill {
    /// Its first element.
    pub offset: usize,
    /// Its elements.
    pub len: usize,
    /// Its random numbers.
    pub stream: Stream,
    /// Their law.
    pub law: Law,
}

/// What a run begins with, where a few words say it.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    /// The parts of its flat buffer; what lies between them is 0.
    pub fills: Vec<Fill>,
    /// Elements of the buffer.
    pub len: usize,
    /// What the frozen second pairs begin with.
    pub pairs: Pairs,
}

/// What frozen second pairs begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// There are none.
    None,
    /// All are 0, and subtract nothing.
    Zeros,
    /// What is trained begins with.
    Same,
}

impl Drawn {
    /// The numbers, drawn here. Wherever else they are drawn, these are what they must be.
    pub fn numbers(&self) -> Vec<f32> {
        let mut numbers = vec![0.0; self.len];
        for Fill { offset, len, stream, law } in &self.fills {
            law.fill(stream, &mut numbers[*offset..offset + len]);
        }
        numbers
    }

    /// Those of the frozen second pairs.
    pub fn frozen_pairs(&self) -> Vec<f32> {
        match self.pairs {
            Pairs::None => vec![],
            Pairs::Zeros => vec![0.0; self.len],
            Pairs::Same => self.numbers(),
        }
    }
}
