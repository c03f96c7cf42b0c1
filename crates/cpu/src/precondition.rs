//! The preconditioner of an adapter: each factor's gradient times the inverse of the other factor's Gram matrix. Zhang and Pilanci 2024, arXiv 2402.02347;
//! for plain matrix factorisation it is known as ScaledGD.
//!
//! dA ← (BᵀB + ε I)⁻¹ dA and dB ← dB (AAᵀ + ε I)⁻¹. The matrices are (R, R) and inverted by Cholesky factorisation. An ε below 2⁻²⁰ times a matrix's
//! trace is raised to that, since a matrix computed in 32 bits is no more accurate.

use crate::{Matrix, Scalar, Store};

/// Settings of the inverses.
#[derive(Clone, Copy, Debug)]
pub struct Hyper<S> {
    /// ε, above 0.
    pub epsilon: S,
    /// True to divide the inverse by its Frobenius norm, taken over the ranks in which the factor is not zero. If the factor is zero in all of them, the
    /// other factor's gradient is left unchanged.
    pub unit: bool,
}

/// Sizes of an adapter.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Input columns I.
    pub inputs: usize,
    /// Output columns O.
    pub outputs: usize,
    /// Rank R.
    pub rank: usize,
}

/// Preconditions the gradients `da`, (R, I), and `db`, (O, R), of the factors `a` and `b` of the same shapes, in place.
///
/// # Panics
/// If a slice does not have the size that `shape` defines.
pub fn adapter<S: Scalar>(hyper: Hyper<S>, shape: Shape, a: &[S], b: &[S], da: &mut [S], db: &mut [S]) {
    let Shape { inputs, outputs, rank } = shape;
    let (a, b) = (Matrix::new(a, rank, inputs), Matrix::new(b, outputs, rank));
    if let Some(inverse) = inverse(hyper, rank, b.t(), b) {
        let gradient = da.to_vec();
        S::matmul(da, Matrix::new(&inverse, rank, rank), Matrix::new(&gradient, rank, inputs), S::ONE, Store::Set);
    }
    if let Some(inverse) = inverse(hyper, rank, a, a.t()) {
        let gradient = db.to_vec();
        S::matmul(db, Matrix::new(&gradient, outputs, rank), Matrix::new(&inverse, rank, rank), S::ONE, Store::Set);
    }
}

/// (left · right + ε I)⁻¹, (R, R), symmetric, divided by its norm if `hyper.unit`; `None` if the gradient is to be left unchanged.
fn inverse<S: Scalar>(hyper: Hyper<S>, rank: usize, left: Matrix<'_, S>, right: Matrix<'_, S>) -> Option<Vec<S>> {
    let mut product = vec![S::ZERO; rank * rank];
    S::matmul(&mut product, left, right, S::ONE, Store::Set);
    let used: Vec<bool> = (0..rank).map(|k| product[k * rank + k] > S::ZERO).collect();
    if hyper.unit && !used.contains(&true) {
        return None;
    }
    let mut trace = S::ZERO;
    for k in 0..rank {
        trace += product[k * rank + k];
    }
    let epsilon = hyper.epsilon.max(trace * S::from_f64(1.0 / f64::from(1 << 20)));
    S::inverse(&mut product, rank, epsilon);
    if hyper.unit {
        let counts = |place: usize| used[place / rank] && used[place % rank];
        let counted: Vec<S> = (0..rank * rank).filter(|&place| counts(place)).map(|place| product[place]).collect();
        let mut square = [S::ZERO];
        let (row, column) = (Matrix::new(&counted, 1, counted.len()), Matrix::new(&counted, counted.len(), 1));
        S::matmul(&mut square, row, column, S::ONE, Store::Set);
        let norm = square[0].sqrt();
        for x in &mut product {
            *x = *x / norm;
        }
    }
    Some(product)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { inputs: 3, outputs: 2, rank: 2 };

    /// BᵀB + ε I = [[3, 1], [1, 2]] and AAᵀ + ε I = [[2, 0], [0, 5]], with inverses [[2, −1], [−1, 3]]/5 and diag(1/2, 1/5).
    #[test]
    fn by_hand() {
        let (a, b) = ([1.0_f64, 0.0, 0.0, 0.0, 2.0, 0.0], [1.0, 1.0, 1.0, 0.0]);
        let gradients = || ([1.0, 2.0, 0.0, 0.0, 1.0, 5.0], [4.0, 10.0, -2.0, 5.0]);
        let (mut da, mut db) = gradients();
        adapter(Hyper { epsilon: 1.0, unit: false }, SHAPE, &a, &b, &mut da, &mut db);
        let close = |found: &[f64], expected: &[f64]| {
            found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-14)
        };
        assert!(close(&da, &[0.4, 0.6, -1.0, -0.2, 0.2, 3.0]), "{da:?}");
        assert!(close(&db, &[2.0, 2.0, -1.0, 1.0]), "{db:?}");
        let (mut da, mut db) = gradients();
        adapter(Hyper { epsilon: 1.0, unit: true }, SHAPE, &a, &b, &mut da, &mut db);
        let (of_a, of_b) = (0.6_f64.sqrt(), 0.29_f64.sqrt());
        assert!(close(&da, &[0.4, 0.6, -1.0, -0.2, 0.2, 3.0].map(|x| x / of_a)), "{da:?}");
        assert!(close(&db, &[2.0, 2.0, -1.0, 1.0].map(|x| x / of_b)), "{db:?}");
    }

    /// Zero rows of A and zero columns of B, whose gradients are zero too, do not affect the others, and stay zero.
    #[test]
    fn padding_changes_nothing() {
        let wide = Shape { rank: 3, ..SHAPE };
        for unit in [false, true] {
            let hyper = Hyper { epsilon: 0.01_f32, unit };
            let (mut da, mut db) = ([0.3, 2.0, 0.1, 0.7, 1.0, 5.0], [4.0, 9.0, -2.0, 5.0]);
            let (a, b) = ([1.0, 0.5, 0.0, 0.2, 2.0, 0.1], [1.0, 0.3, 1.0, 0.7]);
            let pad = |x: &[f32; 6]| [&x[..], &[0.0; 3]].concat();
            let beside = |x: &[f32; 4]| vec![x[0], x[1], 0.0, x[2], x[3], 0.0];
            let (mut padded_da, mut padded_db) = (pad(&da), beside(&db));
            adapter(hyper, wide, &pad(&a), &beside(&b), &mut padded_da, &mut padded_db);
            adapter(hyper, SHAPE, &a, &b, &mut da, &mut db);
            let close = |found: &[f32], expected: &[f32]| {
                found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() <= 1e-5 * expected.abs())
            };
            assert!(close(&padded_da, &pad(&da)) && close(&padded_db, &beside(&db)), "{padded_da:?} {padded_db:?}");
        }
    }

    /// Nearly equal columns, whose smallest pivot becomes negative by rounding, and a zero factor.
    #[test]
    fn whatever_the_factors_the_result_is_finite() {
        let shape = Shape { inputs: 40, outputs: 50, rank: 8 };
        let (a, b) = (vec![0.0_f32; 320], (0..400).map(|i| 30.0 + (i * 7 % 5) as f32 * 1e-6).collect::<Vec<_>>());
        for hyper in [Hyper { epsilon: 1e-6, unit: true }, Hyper { epsilon: 1e-2, unit: false }] {
            let (mut da, mut db) = (vec![1.0; 320], vec![0.0; 400]);
            adapter(hyper, shape, &a, &b, &mut da, &mut db);
            assert!(da.iter().chain(&db).all(|x| x.is_finite()), "{hyper:?}");
        }
        let mut untouched = vec![1.5_f32; 320];
        let mut of_b = vec![0.25; 400];
        adapter(Hyper { epsilon: 1e-6, unit: true }, shape, &a, &[0.0; 400], &mut untouched, &mut of_b);
        assert!(untouched.iter().all(|x| *x == 1.5) && of_b.iter().all(|x| *x == 0.25));
    }
}
