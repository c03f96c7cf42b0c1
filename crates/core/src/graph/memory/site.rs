//! Sites: the places of a model that carry an adapter.

use super::Span;

/// A linear map of a model that carries an adapter: its module, its sizes, and the places of the adapter's factors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Hugging Face name of the module, e.g. `model.layers.0.self_attn.q_proj`.
    pub module: String,
    /// Input columns I.
    pub inputs: usize,
    /// Output columns O.
    pub outputs: usize,
    /// Rank R that the plan has memory for. A start of a lower rank is padded with zeros.
    pub rank: usize,
    /// A, (R, I).
    pub a: Span,
    /// B, (O, R).
    pub b: Span,
}

impl Site {
    /// The places of A and B in the flat buffer.
    pub fn factors(&self) -> [Span; 2] {
        [self.a, self.b]
    }

    /// Rows and columns of A and of B.
    pub fn shapes(&self) -> [[usize; 2]; 2] {
        [[self.rank, self.inputs], [self.outputs, self.rank]]
    }

    /// The names of A and B in PEFT's files, without the prefix `base_model.model.`: `MODULE.lora_A.weight`, `MODULE.lora_B.weight`.
    pub fn names(&self) -> [String; 2] {
        ["A", "B"].map(|factor| format!("{}.lora_{factor}.weight", self.module))
    }
}
