//! Dense matrices in f64, converted from and to row-major f32 elements.

use faer::{Mat, MatRef};

use crate::Stream;

/// Rows and columns per tile of a conversion.
const TILE: usize = 32;

/// The (rows, columns) matrix with the row-major `elements`.
///
/// # Panics
/// If there are not exactly `rows · columns` elements.
pub fn from_rows(elements: &[f32], rows: usize, columns: usize) -> Mat<f64> {
    assert_eq!(elements.len(), rows * columns, "a ({rows}, {columns}) matrix needs {} elements", rows * columns);
    let mut m = Mat::zeros(rows, columns);
    for (row, column) in tiles(rows, columns) {
        for j in column..columns.min(column + TILE) {
            for i in row..rows.min(row + TILE) {
                m[(i, j)] = f64::from(elements[i * columns + j]);
            }
        }
    }
    m
}

/// The first rows and columns of the tiles. A `Mat` is column-major, so one side of a conversion is accessed with strides; a tile of both sides fits in the cache.
fn tiles(rows: usize, columns: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..columns).step_by(TILE).flat_map(move |column| (0..rows).step_by(TILE).map(move |row| (row, column)))
}

/// The elements of a matrix, row-major, each rounded once.
pub fn to_rows(m: MatRef<'_, f64>) -> Vec<f32> {
    let (rows, columns) = (m.nrows(), m.ncols());
    let mut elements = vec![0.0; rows * columns];
    for (row, column) in tiles(rows, columns) {
        for i in row..rows.min(row + TILE) {
            for j in column..columns.min(column + TILE) {
                elements[i * columns + j] = m[(i, j)] as f32;
            }
        }
    }
    elements
}

/// A (rows, columns) matrix of standard normal numbers, drawn in row-major order.
pub fn normal(stream: &Stream, rows: usize, columns: usize) -> Mat<f64> {
    let mut elements = vec![0.0; rows * columns];
    stream.normal(1.0, &mut elements);
    from_rows(&elements, rows, columns)
}

/// ‖M‖², the squared Frobenius norm.
pub fn energy(m: MatRef<'_, f64>) -> f64 {
    m.squared_norm_l2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stay_rows() {
        let elements = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let m = from_rows(&elements, 2, 3);
        assert_eq!((m[(0, 2)], m[(1, 0)]), (3.0, 4.0));
        assert_eq!(to_rows(m.as_ref()), elements);
        assert_eq!(to_rows(m.transpose()), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        assert_eq!(energy(m.as_ref()), 91.0);
        // More than one tile, and not a whole number of them.
        let (rows, columns) = (2 * TILE + 3, TILE + 1);
        let elements: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
        let m = from_rows(&elements, rows, columns);
        assert_eq!(m, Mat::from_fn(rows, columns, |i, j| (i * columns + j) as f64));
        assert_eq!(to_rows(m.as_ref()), elements);
    }

    #[test]
    fn draws_are_the_streams_own() {
        let mut elements = [0.0; 6];
        Stream::new(5, "w").normal(1.0, &mut elements);
        assert_eq!(to_rows(normal(&Stream::new(5, "w"), 3, 2).as_ref()), elements);
    }
}
