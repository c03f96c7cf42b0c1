//! Handles of what an op reads and writes: values, buffers and places of weights.

/// A value of a recorded model, before it has memory: an activation, its gradient, or an input of the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(pub usize);

/// A buffer of a plan, which holds different values at different times: an index into [`Plan::buffers`](crate::graph::plan::Plan::buffers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Buffer(pub usize);

/// A tensor's place in the flat buffer of a run's trained tensors.
///
/// Gradients, moments and the frozen second pairs have the same places in their own buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Index of the first element.
    pub offset: usize,
    /// Number of elements.
    pub len: usize,
}

impl Span {
    /// The index range of the elements.
    pub fn range(self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.len
    }
}

/// The location of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// The tensor with this index in the frozen base; shared by all runs, never written.
    Frozen(usize),
    /// A span of the run's trained buffer.
    Trained(Span),
}

/// The role of a trained tensor; it determines its learning rate and weight decay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// LoRA's down projection A, (R, I).
    A,
    /// LoRA's up projection B, (O, R); its learning rate is multiplied by the LoRA+ ratio.
    B,
    /// A matrix of the model itself (pretraining).
    Matrix,
    /// A norm's gain (pretraining); without weight decay.
    Gain,
}

/// A trained tensor: name, shape, group and place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Hugging Face and PEFT name, e.g. `model.layers.0.self_attn.q_proj.lora_A.weight`.
    pub name: String,
    /// Rows and columns; a gain is (1, columns).
    pub shape: [usize; 2],
    /// Role of the tensor.
    pub group: Group,
    /// Place in the run's flat buffers.
    pub span: Span,
}
