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
    /// So many rows per sequence, one per position, that a device keeps between calls: B·C per run.
    Cached(usize),
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

    /// f32, rows that are kept for `context` positions of each sequence.
    pub const fn cached(context: usize, columns: usize) -> Type {
        Type { dtype: Dtype::F32, rows: Rows::Cached(context), columns }
    }

    /// True if it is kept between calls.
    pub const fn is_cached(self) -> bool {
        matches!(self.rows, Rows::Cached(_))
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
            Rows::Cached(context) => shape.sequences * context,
        }
    }

    /// Elements per run.
    pub const fn len(self, shape: Shape) -> usize {
        self.rows(shape) * self.columns
    }
}
