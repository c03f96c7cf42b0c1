//! Handles: what an op reads and writes, before anyone decides where it lies.

/// A value that a recorded model computes or reads, before it has memory: an activation, a gradient of one, or an input of the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(pub usize);

/// The memory of a plan that holds a value, and others before and after it lives: an index into [`Plan::buffers`](crate::graph::plan::Plan::buffers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Buffer(pub usize);

/// A tensor's place in the flat buffer that holds everything a run trains.
///
/// Gradients, moments and the frozen second pair use the same places in buffers of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Index of the first element.
    pub offset: usize,
    /// Number of elements.
    pub len: usize,
}

impl Span {
    /// The elements as an index range.
    pub fn range(self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.len
    }
}

/// Where an op finds a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// The tensor with this index in the frozen base; shared by all runs, never written.
    Frozen(usize),
    /// A span of the run's trained buffer.
    Trained(Span),
}

/// What a trained tensor is; the optimiser gives each group its own learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// LoRA's down projection A, (R, I).
    A,
    /// LoRA's up projection B, (O, R); its learning rate is multiplied by the LoRA+ ratio.
    B,
    /// A matrix of the model itself (pretraining).
    Matrix,
    /// A norm's gain (pretraining); not decayed.
    Gain,
}

/// A trained tensor: its name, shape, group and place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Name as Hugging Face and PEFT spell it, e.g. `model.layers.0.self_attn.q_proj.lora_A.weight`.
    pub name: String,
    /// Rows and columns; a gain is (1, columns).
    pub shape: [usize; 2],
    /// What it is.
    pub group: Group,
    /// Where it lies in the run's flat buffers.
    pub span: Span,
}
