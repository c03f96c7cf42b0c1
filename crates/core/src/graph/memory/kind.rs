//! Types of values: the element type, what each row stands for, and the number of columns.

use super::Shape;

/// Element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// 32-bit float.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
    /// Unsigned 32-bit integer, such as a token id.
    U32,
}

impl Dtype {
    /// Bytes of one element. The CPU device stores [`Dtype::F32`] values in a scalar of its own, whose size counts there.
    pub const fn bytes(self) -> usize {
        match self {
            Dtype::F32 | Dtype::U32 => 4,
            Dtype::F16 | Dtype::Bf16 => 2,
        }
    }
}

/// The unit that each row of a value stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rows {
    /// One row per token: B·T per run.
    Token,
    /// One row per sequence: B per run.
    Sequence,
    /// One row per run.
    Once,
}

/// The type of a value: (rows, columns) elements of one dtype for each run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Type {
    /// Element type.
    pub dtype: Dtype,
    /// The unit of a row.
    pub rows: Rows,
    /// Elements per row.
    pub columns: usize,
}

impl Type {
    /// f32, one row per token: the type that most ops read and write.
    pub const fn floats(columns: usize) -> Type {
        Type { dtype: Dtype::F32, rows: Rows::Token, columns }
    }

    /// u32, one element per token.
    pub const fn ids() -> Type {
        Type { dtype: Dtype::U32, rows: Rows::Token, columns: 1 }
    }

    /// Rows per run.
    pub const fn rows(self, shape: Shape) -> usize {
        match self.rows {
            Rows::Token => shape.sequences * shape.tokens,
            Rows::Sequence => shape.sequences,
            Rows::Once => 1,
        }
    }

    /// Elements per run.
    pub const fn len(self, shape: Shape) -> usize {
        self.rows(shape) * self.columns
    }
}
