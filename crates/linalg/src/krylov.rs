//! The leading singular triplets of a large matrix, as accurate as those of a full decomposition, by block Krylov iteration.

use faer::{Mat, MatRef};

use crate::{
    Multiply, Stream,
    dense::normal,
    factor::{NoConvergence, Svd, svd, symmetric_eigen, thin_qr},
};

/// A matrix whose shorter side is at most this is decomposed fully.
const WHOLE: usize = 256;
/// Largest allowed residual of a triplet, ‖M v − σ u‖, relative to the largest singular value.
const RESIDUAL: f64 = 1e-10;
/// Columns of a block in addition to the requested number.
const BEYOND: usize = 8;

/// The leading `count` singular triplets, fewer if the matrix has fewer: by block Krylov iteration with full orthogonalisation (Golub and Kahan 1965;
/// Musco and Musco 2015, arXiv 1504.05477, algorithm 2), until every residual is at most 10⁻¹⁰ of the largest singular value. The matrix is decomposed fully
/// if it is small, if `count` is large, or if its singular values are too close for convergence.
///
/// # Errors
/// If the matrix holds a number that is not finite.
pub fn leading_svd(m: &dyn Multiply, count: usize, stream: &Stream) -> Result<Svd, NoConvergence> {
    let (rows, columns) = m.shape();
    let narrow = rows.min(columns);
    let block = count + BEYOND;
    if narrow > WHOLE && 4 * block <= narrow {
        if !m.is_finite() {
            return Err(NoConvergence { rows, columns });
        }
        if let Some(found) = krylov(m, count, block, narrow / 2, stream)? {
            return Ok(found);
        }
    }
    Ok(svd(m.whole().as_ref())?.first(count))
}

/// The leading triplets; `None` if a space of `most` columns does not contain them.
fn krylov(
    m: &dyn Multiply,
    count: usize,
    block: usize,
    most: usize,
    stream: &Stream,
) -> Result<Option<Svd>, NoConvergence> {
    let (rows, columns) = m.shape();
    let mut basis = Mat::<f64>::zeros(rows, 0);
    // Qᵀ M, one row per column of the basis Q.
    let mut image = Mat::<f64>::zeros(0, columns);
    let mut next = thin_qr(m.times(normal(stream, columns, block).as_ref()).as_ref()).q;
    while basis.ncols() + block <= most {
        let column = m.transposed_times(next.as_ref());
        basis = beside(basis.as_ref(), next.as_ref());
        image = beside(image.transpose(), column.as_ref()).transpose().to_owned();
        let inner = symmetric_eigen((&image * image.transpose()).as_ref())?;
        let kept = count.min(inner.values.len());
        let turned = inner.vectors.subcols(0, kept);
        let s: Vec<f64> = inner.values[..kept].iter().map(|value| value.max(0.0).sqrt()).collect();
        let (u, mut v) = (&basis * turned, image.transpose() * turned);
        for (k, s) in s.iter().enumerate() {
            let scale = if *s > 0.0 { s.recip() } else { 0.0 };
            (0..v.nrows()).for_each(|row| v[(row, k)] *= scale);
        }
        let missed = m.times(v.as_ref()) - Mat::from_fn(u.nrows(), kept, |row, k| u[(row, k)] * s[k]);
        if (0..kept).all(|k| missed.col(k).norm_l2() <= RESIDUAL * s[0]) {
            return Ok(Some(Svd { u, s, v }.settled()));
        }
        next = m.times(column.as_ref());
        // Two passes suffice: after the first, only rounding errors remain.
        for _ in 0..2 {
            next = thin_qr((&next - &basis * (basis.transpose() * &next)).as_ref()).q;
        }
    }
    Ok(None)
}

/// Two matrices with the same number of rows, side by side.
fn beside(one: MatRef<'_, f64>, other: MatRef<'_, f64>) -> Mat<f64> {
    let first = one.ncols();
    Mat::from_fn(other.nrows(), first + other.ncols(), |row, column| {
        if column < first { one[(row, column)] } else { other[(row, column - first)] }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Product;

    /// A matrix whose singular values fall as k^(−power): 1/√k resembles the spectra of trained weights.
    fn slow(rows: usize, columns: usize, power: f64) -> Mat<f64> {
        let k = rows.min(columns);
        let left = thin_qr(normal(&Stream::new(1, "left"), rows, k).as_ref()).q;
        let right = thin_qr(normal(&Stream::new(1, "right"), columns, k).as_ref()).q;
        Mat::from_fn(rows, k, |i, j| left[(i, j)] * ((j + 1) as f64).powf(-power)) * right.transpose()
    }

    #[test]
    fn triplets_are_those_of_the_whole() {
        for (rows, columns, power) in [(300, 420, 0.5), (420, 300, 0.5), (300, 300, 0.02), (40, 60, 0.5)] {
            let m = slow(rows, columns, power);
            let found = leading_svd(&m.as_ref(), 6, &Stream::new(0, "Ω")).expect("finite");
            let whole = svd(m.as_ref()).expect("finite").first(6);
            assert_eq!(found.s.len(), 6);
            for k in 0..6 {
                assert!(
                    (found.s[k] / whole.s[k] - 1.0).abs() < 1e-12,
                    "{rows} × {columns}: {:?} {:?}",
                    found.s,
                    whole.s
                );
                // The error of a vector is the residual divided by the gap of the singular values.
                assert!((found.u.col(k) - whole.u.col(k)).norm_l2() < 1e-7, "{rows} × {columns}, {k}");
                assert!((found.v.col(k) - whole.v.col(k)).norm_l2() < 1e-7, "{rows} × {columns}, {k}");
            }
        }
    }

    #[test]
    fn a_product_has_the_triplets_that_it_has_when_it_is_formed() {
        let (left, right) = (slow(300, 420, 0.5), slow(420, 310, 0.2));
        let product = Product { left: left.as_ref(), right: right.as_ref() };
        let [apart, formed] = [&product as &dyn Multiply, &(&left * &right).as_ref()]
            .map(|m| leading_svd(m, 4, &Stream::new(0, "Ω")).expect("finite"));
        for k in 0..4 {
            assert!((apart.s[k] / formed.s[k] - 1.0).abs() < 1e-12, "{:?} {:?}", apart.s, formed.s);
            assert!((apart.u.col(k) - formed.u.col(k)).norm_l2() < 1e-7);
            assert!((apart.v.col(k) - formed.v.col(k)).norm_l2() < 1e-7);
        }
    }

    #[test]
    fn what_is_hard_is_decomposed_whole() {
        let m = slow(300, 300, 0.0);
        let found = leading_svd(&m.as_ref(), 4, &Stream::new(0, "Ω")).expect("finite");
        assert!(found.s.iter().all(|s| (s - 1.0).abs() < 1e-12), "{:?}", found.s);
        let zero = Mat::<f64>::zeros(300, 300);
        assert_eq!(leading_svd(&zero.as_ref(), 2, &Stream::new(0, "Ω")).expect("finite").s, [0.0, 0.0]);
        assert_eq!(leading_svd(&m.subcols(0, 3), 5, &Stream::new(0, "Ω")).expect("finite").s.len(), 3);
        let broken = Mat::from_fn(300, 300, |i, j| if i == j { f64::NAN } else { 0.0 });
        assert!(leading_svd(&broken.as_ref(), 4, &Stream::new(0, "Ω")).is_err());
    }
}
