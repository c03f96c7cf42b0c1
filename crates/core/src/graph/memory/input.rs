//! Inputs: named values that the host writes for a step.

use super::{Buffer, Dtype, Type};

/// Names of the inputs. A new one is added here, in the model that reads it and in the data that provide it; no code between them names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InputName {
    /// Token ids, 1 column.
    Tokens,
    /// Expected token ids, 1 column.
    Targets,
    /// The weight of each row in the loss, 1 column: 1/count for rows that count, exactly 0 for others.
    Weights,
    /// Feature rows that a model without tokens reads.
    Features,
    /// Target rows of a regression.
    Expected,
    /// Rows of a code, whose moments with other values are computed.
    Codes,
    /// The segment of each row, 1 column: rows of a sequence see neighbouring rows with the same number only; 0 is padding.
    Segments,
    /// The position of each row, 1 column: its distance from the first row of its text.
    Positions,
}

impl InputName {
    /// All names.
    pub const ALL: [InputName; 8] = [
        InputName::Tokens,
        InputName::Targets,
        InputName::Weights,
        InputName::Features,
        InputName::Expected,
        InputName::Codes,
        InputName::Segments,
        InputName::Positions,
    ];

    /// Element type.
    pub const fn dtype(self) -> Dtype {
        match self {
            InputName::Tokens | InputName::Targets | InputName::Segments | InputName::Positions => Dtype::U32,
            InputName::Weights | InputName::Features | InputName::Expected | InputName::Codes => Dtype::F32,
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
    /// The buffer that holds it; it is not reused for other values.
    pub buffer: Buffer,
}
