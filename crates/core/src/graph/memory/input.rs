//! Inputs: what the host gives a step to read, by name.

use super::{Buffer, Dtype, Type};

/// The inputs that models know. A new one stands here, in the model that reads it, and in the data that give it; nothing between them names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InputName {
    /// Token ids, a column.
    Tokens,
    /// Expected token ids, a column.
    Targets,
    /// The weight of a row in the loss, a column: 1/count where the row counts, exactly 0 elsewhere.
    Weights,
    /// Rows of numbers that a model without tokens reads.
    Features,
    /// Rows of numbers that a regression is compared with.
    Expected,
}

impl InputName {
    /// All of them.
    pub const ALL: [InputName; 5] =
        [InputName::Tokens, InputName::Targets, InputName::Weights, InputName::Features, InputName::Expected];

    /// How its elements are stored.
    pub const fn dtype(self) -> Dtype {
        match self {
            InputName::Tokens | InputName::Targets => Dtype::U32,
            InputName::Weights | InputName::Features | InputName::Expected => Dtype::F32,
        }
    }
}

/// An input of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its name.
    pub name: InputName,
    /// Its type.
    pub kind: Type,
    /// The buffer that holds it; nothing else is ever put there.
    pub buffer: Buffer,
}
