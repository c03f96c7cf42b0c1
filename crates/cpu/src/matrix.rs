//! Operands of matrix products.

/// The way in which a kernel stores an output that may already hold a contribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// Overwrite the output, whatever it held (even NaN).
    Set,
    /// Add to the output.
    Add,
}

impl Store {
    /// Stores `value` in `out`.
    #[inline(always)]
    pub(crate) fn put<S: crate::Scalar>(self, out: &mut S, value: S) {
        match self {
            Store::Set => *out = value,
            Store::Add => *out += value,
        }
    }
}

/// A borrowed matrix: row-major data, or the transposed view of it.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a, S> {
    data: &'a [S],
    rows: usize,
    cols: usize,
    stride: usize,
    transposed: bool,
}

impl<'a, S> Matrix<'a, S> {
    /// The (rows, cols) matrix with the row-major elements `data`.
    ///
    /// # Panics
    /// If `data` does not hold exactly `rows · cols` elements.
    pub fn new(data: &'a [S], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "a ({rows}, {cols}) matrix needs {} elements", rows * cols);
        Self { data, rows, cols, stride: cols, transposed: false }
    }

    /// The (rows, cols) matrix whose rows begin `stride` elements apart in `data`, i.e. adjacent columns of a wider matrix.
    ///
    /// # Panics
    /// If a row is longer than `stride`, or the last one does not fit in `data`.
    pub fn strided(data: &'a [S], rows: usize, cols: usize, stride: usize) -> Self {
        assert!(cols <= stride, "rows of {cols} elements do not fit a stride of {stride}");
        let needed = if rows == 0 { 0 } else { (rows - 1) * stride + cols };
        assert!(
            data.len() >= needed,
            "a ({rows}, {cols}) matrix of stride {stride} needs {needed} elements, not {}",
            data.len()
        );
        Self { data, rows, cols, stride, transposed: false }
    }

    /// The transposed view.
    #[must_use]
    pub fn t(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    /// The number of rows of this view.
    pub fn rows(&self) -> usize {
        if self.transposed { self.cols } else { self.rows }
    }

    /// The number of columns of this view.
    pub fn cols(&self) -> usize {
        if self.transposed { self.rows } else { self.cols }
    }
}

impl<S: Copy> Matrix<'_, S> {
    /// The element at (row, col) of this view.
    pub fn at(&self, row: usize, col: usize) -> S {
        let (row, col) = if self.transposed { (col, row) } else { (row, col) };
        self.data[row * self.stride + col]
    }
}

impl<'a, S> From<Matrix<'a, S>> for faer::MatRef<'a, S> {
    fn from(matrix: Matrix<'a, S>) -> Self {
        let Matrix { data, rows, cols, stride, transposed } = matrix;
        let view = if stride == cols {
            Self::from_row_major_slice(&data[..rows * cols], rows, cols)
        } else {
            Self::from_row_major_slice_with_stride(data, rows, cols, stride)
        };
        if transposed { view.transpose() } else { view }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scalar;

    #[test]
    fn strided_operands_are_columns_of_a_wider_matrix() {
        let wide: Vec<f32> = (0..4 * 10).map(|i| i as f32).collect();
        let right = [1.0, -1.0, 2.0];
        let mut out = [f32::NAN; 4];
        f32::matmul(&mut out, Matrix::strided(&wide[2..], 4, 3, 10), Matrix::new(&right, 3, 1), 1.0, Store::Set);
        assert_eq!(out, [7.0, 27.0, 47.0, 67.0]);
    }
}
