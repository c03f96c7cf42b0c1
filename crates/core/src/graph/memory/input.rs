//! Inputs: named values that the host writes for a step.

use super::{Buffer, Dtype, Shape, Type};

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
    /// The kind of each token, 1 column: in BERT, which of two texts it belongs to.
    TokenTypes,
    /// The numbers that determine a row's random words for dropout, together with the module and the column; [`NOISE`] columns: the run's seed in two
    /// words, the step, and the row's number in its batch, or `u32::MAX` for a row without dropout.
    Noise,
}

/// Columns of [`InputName::Noise`].
pub const NOISE: usize = 4;

impl InputName {
    /// All names.
    pub const ALL: [InputName; 10] = [
        InputName::Tokens,
        InputName::Targets,
        InputName::Weights,
        InputName::Features,
        InputName::Expected,
        InputName::Codes,
        InputName::Segments,
        InputName::Positions,
        InputName::TokenTypes,
        InputName::Noise,
    ];

    /// Element type.
    pub const fn dtype(self) -> Dtype {
        match self {
            InputName::Tokens
            | InputName::Targets
            | InputName::Segments
            | InputName::Positions
            | InputName::TokenTypes
            | InputName::Noise => Dtype::U32,
            InputName::Weights | InputName::Features | InputName::Expected | InputName::Codes => Dtype::F32,
        }
    }

    /// The elements of one run that a step reads if it gives none: one segment, positions by index, tokens of one kind, no
    /// dropout. `None` if a step must give them.
    pub fn unless_given(self, shape: Shape) -> Option<Vec<u32>> {
        let rows = 0..shape.rows_per_run();
        match self {
            InputName::Segments => Some(rows.map(|_| 1).collect()),
            InputName::Positions => Some(rows.map(|row| (row % shape.tokens) as u32).collect()),
            InputName::TokenTypes => Some(rows.map(|_| 0).collect()),
            InputName::Noise => Some(rows.flat_map(|_| [u32::MAX; NOISE]).collect()),
            _ => None,
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
