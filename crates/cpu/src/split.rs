//! Cuts the columns of a matrix into equal parts, such as the queries, keys and values of one fused product.

use crate::Scalar;
use crate::Store;
use crate::simd::vectorize;

/// Part number `part` of x: its columns `part`·C to (`part` + 1)·C, where y has C `columns`.
///
/// # Panics
/// If the rows do not fit the columns, or x and y differ in rows.
pub fn forward<S: Scalar>(x: &[S], columns: usize, parts: usize, part: usize, y: &mut [S]) {
    assert!(x.len() == y.len() * parts && y.len().is_multiple_of(columns), "y is one of {parts} parts of x");
    for (x, y) in x.chunks_exact(columns * parts).zip(y.chunks_exact_mut(columns)) {
        y.copy_from_slice(&x[part * columns..(part + 1) * columns]);
    }
}

/// The gradient of x in the columns of one part: dx (+)= dy there. Other columns are not touched.
///
/// # Panics
/// If the rows do not fit the columns, or dx and dy differ in rows.
pub fn backward<S: Scalar>(dy: &[S], columns: usize, parts: usize, part: usize, dx: &mut [S], store: Store) {
    assert!(dx.len() == dy.len() * parts && dy.len().is_multiple_of(columns), "dy is one of {parts} parts of dx");
    vectorize(
        #[inline(always)]
        || {
            for (dx, dy) in dx.chunks_exact_mut(columns * parts).zip(dy.chunks_exact(columns)) {
                for (dx, &dy) in dx[part * columns..(part + 1) * columns].iter_mut().zip(dy) {
                    store.put(dx, dy);
                }
            }
        },
    );
}
