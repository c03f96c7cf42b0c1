//! Orthonormal rows with the same bits on every machine.

/// Makes the rows of the row-major matrix `m`, each `n` wide, orthonormal, each in turn against those before it
/// (Gram–Schmidt with two passes over each row, which suffice: Giraud, Langou and Rozložník 2005).
///
/// If `m` is square with independent normal elements, the result is a uniformly distributed orthogonal matrix. Sums run in order, and only +, −, ×, ÷ and √ are
/// used, whose results IEEE 754 defines exactly; this is fast enough for the small matrices of adapters.
///
/// # Panics
/// If `m` is not made of whole rows, or a row depends linearly on those before it.
pub fn orthonormal_rows(m: &mut [f64], n: usize) {
    assert!(n > 0 && m.len().is_multiple_of(n), "{} elements are no rows of {n}", m.len());
    for row in 0..m.len() / n {
        let (before, rest) = m.split_at_mut(row * n);
        let current = &mut rest[..n];
        for _ in 0..2 {
            for earlier in before.chunks_exact(n) {
                let along = dot(earlier, current);
                current.iter_mut().zip(earlier).for_each(|(x, e)| *x -= along * e);
            }
        }
        let length = dot(current, current).sqrt();
        assert!(length > 0.0, "row {row} depends on the rows before it");
        current.iter_mut().for_each(|x| *x /= length);
    }
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).fold(0.0, |sum, (x, y)| sum + x * y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Stream, normal_matrix};

    #[test]
    fn rows_become_orthonormal_and_keep_their_span() {
        for n in [1, 2, 7, 64] {
            let drawn = normal_matrix(&Stream::new(n as u64, "rows"), n, n);
            let mut rows: Vec<f64> = (0..n * n).map(|i| drawn[(i / n, i % n)]).collect();
            let first: Vec<f64> = rows[..n].to_vec();
            orthonormal_rows(&mut rows, n);
            for (i, x) in rows.chunks(n).enumerate() {
                for (j, y) in rows.chunks(n).enumerate() {
                    let expected = if i == j { 1.0 } else { 0.0 };
                    assert!((dot(x, y) - expected).abs() < 1e-14, "{n}: {i} {j}");
                }
            }
            let along = dot(&first, &rows[..n]);
            assert!(first.iter().zip(&rows).all(|(x, q)| (x - along * q).abs() < 1e-14 * along) && along > 0.0);
        }
    }

    #[test]
    #[should_panic(expected = "row 1 depends on the rows before it")]
    fn dependent_rows_are_no_basis() {
        orthonormal_rows(&mut [1.0, 0.0, 3.0, 0.0], 2);
    }
}
