//! Sites: the places of a model that carry an adapter.

use super::Span;

/// The rank of an adapter, and its scale as a multiple of the run's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LowRank {
    /// Rank R.
    pub rank: usize,
    /// The scale s of the adapter is this multiple of [`RunSettings::scale`](crate::device::RunSettings::scale).
    pub factor: f64,
}

impl From<usize> for LowRank {
    /// An adapter of this rank, at the scale of the run.
    fn from(rank: usize) -> LowRank {
        LowRank { rank, factor: 1.0 }
    }
}

/// A linear map of a model that carries an adapter: its module, its sizes, and the places of the adapter's factors.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// Hugging Face name of the module, e.g. `model.layers.0.self_attn.q_proj`.
    pub module: String,
    /// Input columns I.
    pub inputs: usize,
    /// Output columns O.
    pub outputs: usize,
    /// Rank R that the plan has memory for. A start of a lower rank is padded with zeros.
    pub rank: usize,
    /// The scale of the adapter as a multiple of the run's.
    pub factor: f64,
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
