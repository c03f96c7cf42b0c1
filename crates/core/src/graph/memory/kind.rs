//! Types of values: the kind of number, what there is a row for, and the columns.

use super::Shape;

/// How a number is stored.
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
    /// Bytes of one element. The CPU device computes in a scalar of its own, whose size counts there instead of [`Dtype::F32`]'s.
    pub const fn bytes(self) -> usize {
        match self {
            Dtype::F32 | Dtype::U32 => 4,
            Dtype::F16 | Dtype::Bf16 => 2,
        }
    }
}

/// What a value has a row for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rows {
    /// Every token of every sequence, B·T a run.
    Token,
    /// Every sequence, B a run.
    Sequence,
    /// The run as a whole, 1.
    Once,
}

/// The type of a value: (rows, columns) elements of one dtype for each run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Type {
    /// How an element is stored.
    pub dtype: Dtype,
    /// What there is a row for.
    pub rows: Rows,
    /// Elements of a row.
    pub columns: usize,
}

impl Type {
    /// Floats, a row for every token: what most ops read and write.
    pub const fn floats(columns: usize) -> Type {
        Type { dtype: Dtype::F32, rows: Rows::Token, columns }
    }

    /// One integer for every token.
    pub const fn ids() -> Type {
        Type { dtype: Dtype::U32, rows: Rows::Token, columns: 1 }
    }

    /// Rows of one run.
    pub const fn rows(self, shape: Shape) -> usize {
        match self.rows {
            Rows::Token => shape.sequences * shape.tokens,
            Rows::Sequence => shape.sequences,
            Rows::Once => 1,
        }
    }

    /// Elements of one run.
    pub const fn len(self, shape: Shape) -> usize {
        self.rows(shape) * self.columns
    }
}
