//! The randomised range finder and the singular value decomposition built on it.

use faer::Mat;

use crate::{
    Multiply, Stream,
    dense::normal,
    factor::{Eigen, NoConvergence, Svd, svd, symmetric_eigen, thin_qr},
};

/// A symmetric matrix of at most this order is decomposed fully.
const WHOLE: usize = 256;

/// Orthonormal columns, (rows, q), that approximately span the leading left singular vectors of M: a normal sketch M Ω of `q` columns,
/// then `iterations` rounds of orthonormalised power iteration.
///
/// Halko, Martinsson and Tropp 2011, arXiv 0909.4061, algorithm 4.4. For k singular vectors with q − k oversampled, the error of
/// the projection approaches σₖ₊₁ as fast as (σ_q₊₁/σₖ)^(2·iterations) decreases. `q` is at most min(rows, columns).
pub fn range(m: &dyn Multiply, q: usize, iterations: usize, stream: &Stream) -> Mat<f64> {
    let (rows, columns) = m.shape();
    let q = q.min(rows).min(columns);
    let sketch = normal(stream, columns, q);
    let mut basis = thin_qr(m.times(sketch.as_ref()).as_ref()).q;
    for _ in 0..iterations {
        let right = thin_qr(m.transposed_times(basis.as_ref()).as_ref()).q;
        basis = thin_qr(m.times(right.as_ref()).as_ref()).q;
    }
    basis
}

/// Approximations of the leading `q` singular triplets: the decomposition of Qᵀ M in the basis Q of [`range`]. Same source, algorithm 5.1;
/// `torch.svd_lowrank` uses the same method.
///
/// # Errors
/// If the matrix holds a number that is not finite.
pub fn randomised_svd(m: &dyn Multiply, q: usize, iterations: usize, stream: &Stream) -> Result<Svd, NoConvergence> {
    if !m.is_finite() {
        let (rows, columns) = m.shape();
        return Err(NoConvergence { rows, columns });
    }
    let basis = range(m, q, iterations, stream);
    let Svd { u, s, v } = svd(m.transposed_times(basis.as_ref()).transpose())?;
    Ok(Svd { u: basis * u, s, v })
}

/// The leading `count` eigenpairs of a symmetric matrix without negative eigenvalues, (n, n): by a full decomposition if that is cheap or most are
/// requested, otherwise approximated in a randomised range of 2·`count` + 10 columns with six power iterations.
///
/// # Errors
/// If the matrix holds a number that is not finite.
pub fn leading_eigen(m: &dyn Multiply, count: usize, stream: &Stream) -> Result<Eigen, NoConvergence> {
    let (n, _) = m.shape();
    let count = count.min(n);
    let columns = 2 * count + 10;
    let all = if n <= WHOLE || 4 * columns > n {
        symmetric_eigen(m.whole().as_ref())?
    } else {
        if !m.is_finite() {
            return Err(NoConvergence { rows: n, columns: n });
        }
        let basis = range(m, columns, 6, stream);
        let inner = symmetric_eigen((basis.transpose() * m.times(basis.as_ref())).as_ref())?;
        Eigen { vectors: basis * inner.vectors, values: inner.values }
    };
    Ok(Eigen { vectors: all.vectors.subcols(0, count).to_owned(), values: all.values[..count].to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dense::energy;

    /// A matrix with the singular values 1, decay, decay², …
    fn geometric(rows: usize, columns: usize, decay: f64) -> Mat<f64> {
        let k = rows.min(columns);
        let left = thin_qr(normal(&Stream::new(1, "left"), rows, k).as_ref()).q;
        let right = thin_qr(normal(&Stream::new(1, "right"), columns, k).as_ref()).q;
        let scaled = Mat::from_fn(rows, k, |i, j| left[(i, j)] * decay.powi(j as i32));
        scaled * right.transpose()
    }

    /// ‖(I − Q Qᵀ) M‖²
    fn missed(m: &Mat<f64>, basis: &Mat<f64>) -> f64 {
        energy((m - basis * (basis.transpose() * m)).as_ref())
    }

    /// The expected squared error of the first sketch is at most 1 + k/(p − 1) times the least possible (the source's theorem 10.5), and every
    /// power iteration reduces the excess.
    #[test]
    fn the_range_is_found_within_its_bound() {
        let (k, oversampled) = (5, 5);
        for (rows, columns) in [(60, 41), (41, 60)] {
            let m = geometric(rows, columns, 0.8);
            let best: f64 = (k..rows.min(columns)).map(|j| 0.8_f64.powi(2 * j as i32)).sum();
            let mean = |iterations| {
                let once = |seed| missed(&m, &range(&m.as_ref(), k + oversampled, iterations, &Stream::new(seed, "Ω")));
                (0..20).map(once).sum::<f64>() / 20.0
            };
            let errors = [0, 1, 3].map(mean);
            assert!(errors[0] < (1.0 + k as f64 / (oversampled as f64 - 1.0)) * best, "{errors:?} {best}");
            let floor: f64 = (k + oversampled..rows.min(columns)).map(|j| 0.8_f64.powi(2 * j as i32)).sum();
            let excess = errors.map(|error| error - floor);
            assert!(excess[2] >= 0.0 && excess[1] > 3.0 * excess[2] && excess[0] > 3.0 * excess[1], "{excess:?}");
        }
    }

    #[test]
    fn leading_eigenpairs_are_those_of_the_whole() {
        let m = geometric(300, 300, 0.9);
        let gram = m.transpose() * &m;
        let whole = symmetric_eigen(gram.as_ref()).expect("finite");
        let leading = leading_eigen(&gram.as_ref(), 5, &Stream::new(0, "Ω")).expect("finite");
        assert_eq!((leading.vectors.ncols(), leading.values.len()), (5, 5));
        for k in 0..5 {
            assert!((leading.values[k] / whole.values[k] - 1.0).abs() < 1e-9, "{:?}", leading.values);
            let cosine = leading.vectors.col(k).transpose() * whole.vectors.col(k);
            assert!((cosine.abs() - 1.0).abs() < 1e-9, "{cosine}");
        }
        assert_eq!(leading_eigen(&gram.as_ref(), 400, &Stream::new(0, "Ω")).expect("finite").values.len(), 300);
    }

    #[test]
    fn enough_iterations_give_the_exact_triplets() {
        let m = geometric(33, 50, 0.5);
        let (exact, found) = (
            svd(m.as_ref()).expect("finite"),
            randomised_svd(&m.as_ref(), 6, 12, &Stream::new(0, "Ω")).expect("finite"),
        );
        for k in 0..5 {
            assert!((exact.s[k] - found.s[k]).abs() < 1e-10);
        }
        let project = |svd: &Svd, k: usize| svd.u.subcols(0, k) * svd.u.subcols(0, k).transpose();
        assert!((project(&exact, 3) - project(&found, 3)).norm_l2() < 1e-6);
    }

    /// A sketch as wide as the matrix is exact, and no sketch is wider.
    #[test]
    fn a_full_sketch_is_exact() {
        let m = normal(&Stream::new(2, "full"), 7, 11);
        let Svd { u, s, v } = randomised_svd(&m.as_ref(), 100, 0, &Stream::new(0, "Ω")).expect("finite");
        assert_eq!(s.len(), 7);
        let scaled = Mat::from_fn(7, 7, |i, k| u[(i, k)] * s[k]);
        assert!((scaled * v.transpose() - &m).norm_l2() < 1e-12);
        let bad = Mat::from_fn(2, 2, |_, _| f64::NAN);
        assert!(randomised_svd(&bad.as_ref(), 1, 1, &Stream::new(0, "Ω")).is_err());
    }
}
