//! Sites: the places of a model that carry an adapter.

use super::Span;

/// A linear map of a model that carries an adapter: which one, its sizes, and where the adapter's factors lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The module as Hugging Face names it, e.g. `model.layers.0.self_attn.q_proj`.
    pub module: String,
    /// I.
    pub inputs: usize,
    /// O.
    pub outputs: usize,
    /// R, the rank that the plan has memory for. A start of a lower rank is filled up with zeros.
    pub rank: usize,
    /// A, (R, I).
    pub a: Span,
    /// B, (O, R).
    pub b: Span,
}

impl Site {
    /// A and B in the flat buffer.
    pub fn factors(&self) -> [Span; 2] {
        [self.a, self.b]
    }

    /// Rows and columns of A and of B.
    pub fn shapes(&self) -> [[usize; 2]; 2] {
        [[self.rank, self.inputs], [self.outputs, self.rank]]
    }

    /// The names of A and B, as PEFT spells them without its own prefix.
    pub fn names(&self) -> [String; 2] {
        ["A", "B"].map(|factor| format!("{}.lora_{factor}.weight", self.module))
    }
}
