//! Types of values: the element type, what each row stands for, and the number of columns.

use loralab_cpu::Packing;

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
    /// Integers of 8 bits, scaled by row; of frozen weights only.
    Int8,
    /// 4-bit NormalFloat, scaled by blocks of 64 (QLoRA, arXiv 2305.14314); of frozen weights only.
    Nf4,
}

impl Dtype {
    /// Bytes of a matrix of so many rows and columns, with the scales of its blocks. The CPU device stores [`Dtype::F32`] values in a scalar of its own, whose
    /// size counts there.
    pub const fn bytes(self, [rows, columns]: [usize; 2]) -> usize {
        match self {
            Dtype::F32 | Dtype::U32 => 4 * rows * columns,
            Dtype::F16 | Dtype::Bf16 => 2 * rows * columns,
            Dtype::Int8 => 4 * Packing::Int8 { columns }.words(rows * columns),
            Dtype::Nf4 => 4 * Packing::Nf4.words(rows * columns),
        }
    }

    /// The number of rows of `columns` elements after which a row begins with a word, and with a block.
    pub const fn rows_together(self, columns: usize) -> usize {
        match self {
            Dtype::F32 | Dtype::U32 | Dtype::Int8 => 1,
            Dtype::F16 | Dtype::Bf16 => 2,
            // A block has 2⁶ weights.
            Dtype::Nf4 => match columns.trailing_zeros() {
                shared @ 0..6 => 64 >> shared,
                _ => 1,
            },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_by_hand() {
        // 3 rows of 70: 18 words of codes and one of the magnitude a row; 210 weights are four blocks of nine words.
        for (dtype, bytes) in
            [(Dtype::F32, 840), (Dtype::F16, 420), (Dtype::Bf16, 420), (Dtype::Int8, 3 * 76), (Dtype::Nf4, 4 * 36)]
        {
            assert_eq!(dtype.bytes([3, 70]), bytes, "{dtype:?}");
        }
        for columns in [1, 6, 40, 64, 96, 576, 1001] {
            let together = Dtype::Nf4.rows_together(columns);
            assert!((1..).find(|rows| rows * columns % 64 == 0) == Some(together), "{columns}: {together}");
        }
    }
}
