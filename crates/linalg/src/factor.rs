//! Factorisations of dense matrices, in f64, on one thread.
//!
//! The arithmetic is faer's. This module adds a sign convention for each factor: QR and SVD are unique up to signs only, and a start that uses
//! them should not depend on the library's choice. Across machines results agree up to rounding, not in every bit: faer splits
//! sums by the width of the processor's vectors.

use faer::{Mat, MatRef, Side, linalg::solvers::Solve};

/// A singular value or eigenvalue iteration did not converge, which happens if a matrix holds NaN or infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the decomposition of a {rows} × {columns} matrix does not converge; it needs finite numbers")]
pub struct NoConvergence {
    /// Rows of the matrix.
    pub rows: usize,
    /// Columns of the matrix.
    pub columns: usize,
}

/// M = Q R with orthonormal columns of Q.
#[derive(Clone, Debug)]
pub struct Qr {
    /// Q, (rows, k) with k = min(rows, columns).
    pub q: Mat<f64>,
    /// R, (k, columns), upper triangular, with a non-negative diagonal.
    pub r: Mat<f64>,
}

/// M = U diag(S) Vᵀ, k = min(rows, columns).
#[derive(Clone, Debug)]
pub struct Svd {
    /// Left singular vectors, (rows, k). The entry of largest magnitude in each is positive.
    pub u: Mat<f64>,
    /// Singular values, descending.
    pub s: Vec<f64>,
    /// Right singular vectors, (columns, k).
    pub v: Mat<f64>,
}

/// M = V diag(λ) Vᵀ of a symmetric M.
#[derive(Clone, Debug)]
pub struct Eigen {
    /// Eigenvalues, descending.
    pub values: Vec<f64>,
    /// Eigenvectors in columns. The entry of largest magnitude in each is positive.
    pub vectors: Mat<f64>,
}

/// The singular value decomposition of L R, where L has few columns and R as few rows. The product is not formed: a small matrix is decomposed between
/// orthonormal bases of L's columns and R's rows.
///
/// # Errors
/// [`NoConvergence`] if a factor is not finite.
pub fn product_svd(left: MatRef<'_, f64>, right: MatRef<'_, f64>) -> Result<Svd, NoConvergence> {
    let (left, right) = (thin_qr(left), thin_qr(right.transpose()));
    let Svd { u, s, v } = svd((left.r * right.r.transpose()).as_ref())?;
    Ok(Svd { u: left.q * u, s, v: right.q * v }.settled())
}

/// The singular value decomposition of M, (k, columns), given orthonormal rows Q, (k, columns), that span M's rows: M = (M Qᵀ) Q, so only M Qᵀ, (k, k), is
/// decomposed. Rows of Q may be zero if M has a lower rank; then as many of the last columns of V are zero.
///
/// # Errors
/// [`NoConvergence`] if M or Q is not finite.
pub fn spanned_svd(m: MatRef<'_, f64>, q: MatRef<'_, f64>) -> Result<Svd, NoConvergence> {
    let Svd { u, s, v } = svd((m * q.transpose()).as_ref())?;
    Ok(Svd { u, s, v: q.transpose() * v })
}

/// The thin QR decomposition (Householder).
pub fn thin_qr(m: MatRef<'_, f64>) -> Qr {
    let decomposed = m.qr();
    let (mut q, mut r) = (decomposed.compute_thin_Q(), decomposed.thin_R().to_owned());
    for k in 0..r.nrows() {
        if r[(k, k)] < 0.0 {
            (0..q.nrows()).for_each(|row| q[(row, k)] = -q[(row, k)]);
            (0..r.ncols()).for_each(|column| r[(k, column)] = -r[(k, column)]);
        }
    }
    Qr { q, r }
}

/// The thin singular value decomposition.
///
/// # Errors
/// If the matrix holds a number that is not finite.
pub fn svd(m: MatRef<'_, f64>) -> Result<Svd, NoConvergence> {
    if !m.is_all_finite() {
        return Err(no_convergence(m));
    }
    let decomposed = m.thin_svd().map_err(|_| no_convergence(m))?;
    let s = decomposed.S().column_vector().iter().copied().collect();
    Ok(Svd { u: decomposed.U().to_owned(), s, v: decomposed.V().to_owned() }.settled())
}

impl Svd {
    /// The first `count` triplets.
    #[must_use]
    pub(crate) fn first(&self, count: usize) -> Svd {
        let count = count.min(self.s.len());
        Svd {
            u: self.u.subcols(0, count).to_owned(),
            s: self.s[..count].to_vec(),
            v: self.v.subcols(0, count).to_owned(),
        }
    }

    /// Applies the sign convention of [`Svd`].
    #[must_use]
    pub(crate) fn settled(mut self) -> Svd {
        for k in 0..self.s.len() {
            if turns(self.u.as_ref(), k) {
                turn(&mut self.u, k);
                turn(&mut self.v, k);
            }
        }
        self
    }
}

/// The eigendecomposition of a symmetric matrix; only its lower half is read.
///
/// # Errors
/// If the matrix holds a number that is not finite.
pub fn symmetric_eigen(m: MatRef<'_, f64>) -> Result<Eigen, NoConvergence> {
    if !m.is_all_finite() {
        return Err(no_convergence(m));
    }
    let decomposed = m.self_adjoint_eigen(Side::Lower).map_err(|_| no_convergence(m))?;
    // faer's eigenvalues are ascending.
    let values = decomposed.S().column_vector().iter().copied().rev().collect();
    let mut vectors = decomposed.U().reverse_cols().to_owned();
    for k in 0..vectors.ncols() {
        if turns(vectors.as_ref(), k) {
            turn(&mut vectors, k);
        }
    }
    Ok(Eigen { values, vectors })
}

/// The solution X of M X = Y for a symmetric M with positive eigenvalues, by Cholesky factorisation; only the lower half of M is read.
///
/// # Errors
/// If M is not positive definite, or holds a number that is not finite.
pub fn solve(m: MatRef<'_, f64>, y: MatRef<'_, f64>) -> Result<Mat<f64>, NoConvergence> {
    let factor = m.llt(Side::Lower).map_err(|_| no_convergence(m))?;
    Ok(factor.solve(y))
}

/// The solution X of A X + X B = C for symmetric A (k, k) and B (n, n) without negative eigenvalues, C (k, n). If two eigenvalues sum to zero, the
/// component of X between their eigenvectors is zero.
///
/// # Errors
/// If a matrix holds a number that is not finite.
pub fn sylvester(a: MatRef<'_, f64>, b: MatRef<'_, f64>, c: MatRef<'_, f64>) -> Result<Mat<f64>, NoConvergence> {
    let (left, right) = (symmetric_eigen(a)?, symmetric_eigen(b)?);
    let turned = left.vectors.transpose() * c * &right.vectors;
    let solved = Mat::from_fn(turned.nrows(), turned.ncols(), |i, j| {
        let sum = left.values[i].max(0.0) + right.values[j].max(0.0);
        if sum > 0.0 { turned[(i, j)] / sum } else { 0.0 }
    });
    Ok(&left.vectors * solved * right.vectors.transpose())
}

/// True if the entry of largest magnitude in column `k` is negative.
fn turns(m: MatRef<'_, f64>, k: usize) -> bool {
    let largest =
        (0..m.nrows()).map(|row| m[(row, k)]).fold(0.0_f64, |best, x| if x.abs() > best.abs() { x } else { best });
    largest < 0.0
}

fn turn(m: &mut Mat<f64>, k: usize) {
    for row in 0..m.nrows() {
        m[(row, k)] = -m[(row, k)];
    }
}

fn no_convergence(m: MatRef<'_, f64>) -> NoConvergence {
    NoConvergence { rows: m.nrows(), columns: m.ncols() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Stream, dense::normal};

    fn distance(one: &Mat<f64>, other: &Mat<f64>) -> f64 {
        (one - other).norm_l2()
    }

    fn identity_error(m: MatRef<'_, f64>) -> f64 {
        distance(&(m.transpose() * m), &Mat::identity(m.ncols(), m.ncols()))
    }

    const SHAPES: [(usize, usize); 5] = [(1, 1), (7, 3), (3, 7), (16, 16), (61, 45)];

    #[test]
    fn qr_gives_the_matrix_back() {
        for (rows, columns) in SHAPES {
            let m = normal(&Stream::new(1, "qr"), rows, columns);
            let Qr { q, r } = thin_qr(m.as_ref());
            assert_eq!((q.ncols(), r.nrows()), (rows.min(columns), rows.min(columns)));
            assert!(distance(&(&q * &r), &m) < 1e-13 * m.norm_l2().max(1.0));
            assert!(identity_error(q.as_ref()) < 1e-13);
            for k in 0..r.nrows() {
                assert!(r[(k, k)] >= 0.0 && (0..k).all(|column| r[(k, column)] == 0.0));
            }
        }
    }

    #[test]
    fn svd_gives_the_matrix_back() {
        for (rows, columns) in SHAPES {
            let m = normal(&Stream::new(2, "svd"), rows, columns);
            let Svd { u, s, v } = svd(m.as_ref()).expect("finite");
            let scaled = Mat::from_fn(rows, s.len(), |i, k| u[(i, k)] * s[k]);
            assert!(distance(&(&scaled * v.transpose()), &m) < 1e-12 * s[0]);
            assert!(identity_error(u.as_ref()) < 1e-13 && identity_error(v.as_ref()) < 1e-13);
            assert!(s.is_sorted_by(|one, other| one >= other) && s.iter().all(|s| *s >= 0.0));
        }
    }

    #[test]
    fn a_product_is_decomposed_without_being_formed() {
        let (left, right) = (normal(&Stream::new(6, "left"), 19, 4), normal(&Stream::new(6, "right"), 4, 11));
        let (found, formed) = (product_svd(left.as_ref(), right.as_ref()), svd((&left * &right).as_ref()));
        let (found, formed) = (found.expect("finite"), formed.expect("finite").first(4));
        for (one, other) in found.s.iter().zip(&formed.s) {
            assert!((one - other).abs() < 1e-12 * formed.s[0]);
        }
        assert!(distance(&found.u, &formed.u) < 1e-10 && distance(&found.v, &formed.v) < 1e-10);
    }

    /// Any basis of the rows works, and so does one with zero rows if M has a lower rank.
    #[test]
    fn a_matrix_is_decomposed_in_a_basis_of_its_rows() {
        let m = normal(&Stream::new(6, "m"), 5, 33);
        let found = spanned_svd(m.as_ref(), thin_qr(m.transpose()).q.transpose()).expect("finite").settled();
        let whole = svd(m.as_ref()).expect("finite");
        assert!(found.s.iter().zip(&whole.s).all(|(one, other)| (one - other).abs() < 1e-12 * whole.s[0]));
        assert!(distance(&found.u, &whole.u) < 1e-10 && distance(&found.v, &whole.v) < 1e-10);

        let thin = normal(&Stream::new(7, "thin"), 5, 2) * m.subrows(0, 2);
        let mut basis = Mat::<f64>::zeros(5, 33);
        basis.subrows_mut(0, 2).copy_from(thin_qr(m.subrows(0, 2).transpose()).q.transpose());
        let Svd { u, s, v } = spanned_svd(thin.as_ref(), basis.as_ref()).expect("finite");
        assert!(s[2..].iter().all(|s| *s < 1e-12 * whole.s[0]));
        let scaled = Mat::from_fn(5, 5, |i, k| u[(i, k)] * s[k]);
        assert!((scaled * v.transpose() - &thin).norm_l2() < 1e-12 * thin.norm_l2());
    }

    /// −M has the same left vectors, so the signs follow the convention and not the library.
    #[test]
    fn signs_are_settled() {
        let m = normal(&Stream::new(3, "signs"), 12, 9);
        let (plus, minus) = (svd(m.as_ref()).expect("finite"), svd((-&m).as_ref()).expect("finite"));
        assert!(distance(&plus.u, &minus.u) < 1e-12 && distance(&plus.v, &-minus.v) < 1e-12);
        let (plus, minus) = (thin_qr(m.as_ref()), thin_qr((-&m).as_ref()));
        assert!(distance(&plus.r, &minus.r) < 1e-12 && distance(&plus.q, &-minus.q) < 1e-12);
    }

    #[test]
    fn eigenvectors_diagonalise() {
        let m = normal(&Stream::new(4, "eigen"), 20, 13);
        let gram = m.transpose() * &m;
        let Eigen { values, vectors } = symmetric_eigen(gram.as_ref()).expect("finite");
        let scaled = Mat::from_fn(13, 13, |i, k| vectors[(i, k)] * values[k]);
        assert!(distance(&(&scaled * vectors.transpose()), &gram) < 1e-12 * values[0]);
        assert!(values.is_sorted_by(|one, other| one >= other));
        let s = svd(m.as_ref()).expect("finite").s;
        assert!(values.iter().zip(s).all(|(value, s)| (value - s * s).abs() < 1e-11 * values[0]));
    }

    #[test]
    fn positive_systems_are_solved() {
        let m = normal(&Stream::new(7, "m"), 9, 9);
        let gram = m.transpose() * &m + Mat::<f64>::identity(9, 9);
        let y = normal(&Stream::new(8, "y"), 9, 3);
        let x = solve(gram.as_ref(), y.as_ref()).expect("positive");
        assert!(distance(&(&gram * &x), &y) < 1e-12 * y.norm_l2());
        assert!(solve((-&gram).as_ref(), y.as_ref()).is_err());
    }

    #[test]
    fn sylvester_solves_its_equation() {
        let gram = |n: usize| {
            let m = normal(&Stream::new(5, "gram"), n, n);
            m.transpose() * &m
        };
        let (a, b, c) = (gram(4), gram(7), normal(&Stream::new(6, "c"), 4, 7));
        let x = sylvester(a.as_ref(), b.as_ref(), c.as_ref()).expect("finite");
        assert!(distance(&(&a * &x + &x * &b), &c) < 1e-10 * c.norm_l2());
        let zero = Mat::<f64>::zeros(4, 4);
        let x = sylvester(zero.as_ref(), Mat::<f64>::zeros(7, 7).as_ref(), c.as_ref()).expect("finite");
        assert_eq!(x.norm_l2(), 0.0);
    }

    #[test]
    fn known_values() {
        let m = Mat::from_fn(2, 2, |i, j| [[0.0, -3.0], [2.0, 0.0]][i][j]);
        let Svd { u, s, v } = svd(m.as_ref()).expect("finite");
        assert!((s[0] - 3.0).abs() < 1e-15 && (s[1] - 2.0).abs() < 1e-15);
        assert!((u[(0, 0)] - 1.0).abs() < 1e-15 && (v[(1, 0)] + 1.0).abs() < 1e-15);
        let zero = svd(Mat::<f64>::zeros(3, 2).as_ref()).expect("finite");
        assert_eq!(zero.s, [0.0, 0.0]);
        assert!(identity_error(zero.u.as_ref()) < 1e-15);
    }

    #[test]
    fn what_is_not_finite_is_refused() {
        for bad in [f64::NAN, f64::INFINITY] {
            let m = Mat::from_fn(3, 2, |i, j| if (i, j) == (1, 1) { bad } else { 1.0 });
            assert_eq!(svd(m.as_ref()).expect_err("not finite"), NoConvergence { rows: 3, columns: 2 });
            assert!(symmetric_eigen((&m * m.transpose()).as_ref()).is_err());
        }
    }
}
