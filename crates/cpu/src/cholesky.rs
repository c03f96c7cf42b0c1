//! The inverse of a symmetric matrix by Cholesky factorisation, and a bound on its error in `f32` arithmetic.

use crate::{Scalar, Tracked};

/// M ← (M + ε I)⁻¹ for a symmetric M, (n, n), without negative eigenvalues, and ε > 0. Exact pivots are at least ε; pivots that rounding takes below
/// are raised to ε.
pub fn inverse<S: Scalar>(m: &mut [S], order: usize, epsilon: S) {
    factor(m, order, epsilon);
    let lower = lower_inverse(m, order);
    gram(&lower, order, m);
}

/// Computes the lower factor L of M + ε I, column by column, in the lower half of `m`.
fn factor<S: Scalar>(m: &mut [S], order: usize, epsilon: S) {
    for k in 0..order {
        let mut pivot = m[k * order + k] + epsilon;
        for j in 0..k {
            pivot -= m[k * order + j] * m[k * order + j];
        }
        let root = pivot.max(epsilon).sqrt();
        m[k * order + k] = root;
        for i in k + 1..order {
            let mut sum = m[i * order + k];
            for j in 0..k {
                sum -= m[i * order + j] * m[k * order + j];
            }
            m[i * order + k] = sum / root;
        }
    }
}

/// L⁻¹ of the lower half of a matrix; its elements above the diagonal are zero.
fn lower_inverse<S: Scalar>(lower: &[S], order: usize) -> Vec<S> {
    let mut inverse = vec![S::ZERO; order * order];
    for column in 0..order {
        for i in column..order {
            let mut sum = if i == column { S::ONE } else { S::ZERO };
            for j in column..i {
                sum -= lower[i * order + j] * inverse[j * order + column];
            }
            inverse[i * order + column] = sum / lower[i * order + i];
        }
    }
    inverse
}

/// M ← Yᵀ Y for a lower triangular Y.
fn gram<S: Scalar>(y: &[S], order: usize, m: &mut [S]) {
    for i in 0..order {
        for j in 0..order {
            let mut sum = S::ZERO;
            for k in i.max(j)..order {
                sum += y[k * order + i] * y[k * order + j];
            }
            m[i * order + j] = sum;
        }
    }
}

/// [`inverse`] with an error bound. Tracking each operation would give a bound that grows with every row; this bound follows Higham, *Accuracy and
/// Stability of Numerical Algorithms*, second edition, and holds for any order of the sums. With X = (M + ε I)⁻¹ = (L Lᵀ)⁻¹, Y = L⁻¹ and elementwise |·|:
///
/// - The computed factors are those of M + ε I + ΔM with |ΔM|ᵢⱼ ≤ γ √(mᵢᵢ mⱼⱼ) / (1 − γ) (theorem 10.3 and equation 10.7); D is this bound plus the error
///   bound of M. The error of X is then |X| D |X|, to first order.
/// - The error of Y is G = γ |Y| |L| |Y| (theorem 8.5), which causes an error of Gᵀ |Y| + |Y|ᵀ G in Yᵀ Y.
/// - The product Yᵀ Y itself has an error of γ |Y|ᵀ |Y| (section 3.5).
///
/// γ is n·u / (1 − n·u), with a margin in n for the roots and quotients, for which WGSL allows 5 units in the last place. Higher orders are covered by
/// a factor of 1 / (1 − ρ), with ρ the largest row sum of |X| D plus γ times that of |Y| |L|; if ρ is not below a half, the bound is infinite.
pub fn bounded_inverse(m: &mut [Tracked], order: usize, epsilon: Tracked) {
    let n = order;
    let chain = (n as f64 + 16.0) * f64::from(f32::EPSILON) / 2.0;
    let gamma = chain / (1.0 - chain);
    let mut lower: Vec<f64> = m.iter().map(|x| x.value).collect();
    factor(&mut lower, n, epsilon.value);
    let y = lower_inverse(&lower, n);
    let mut x = vec![0.0; n * n];
    gram(&y, n, &mut x);

    let of_entries = |entry: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
        (0..n * n).map(|place| entry(place / n, place % n)).collect()
    };
    let product = |a: &[f64], b: &[f64]| of_entries(&|i, j| (0..n).map(|k| a[i * n + k] * b[k * n + j]).sum());
    let row_sums = |m: &[f64]| m.chunks_exact(n).map(|row| row.iter().sum::<f64>()).fold(0.0, f64::max);
    let before = |i: usize, j: usize| m[i * n + j].error + if i == j { epsilon.error } else { 0.0 };
    let diagonal = |i: usize| m[i * n + i].value + epsilon.value + before(i, i);
    let d = of_entries(&|i, j| before(i, j) + gamma * (diagonal(i) * diagonal(j)).sqrt() / (1.0 - gamma));
    let lower = of_entries(&|i, j| if j <= i { lower[i * n + j].abs() } else { 0.0 });
    let y = of_entries(&|i, j| y[i * n + j].abs());
    let size = of_entries(&|i, j| x[i * n + j].abs());
    let transposed = of_entries(&|i, j| y[j * n + i]);
    let (size_d, y_lower) = (product(&size, &d), product(&y, &lower));
    let moved = product(&size_d, &size);
    let turned = product(&transposed, &product(&y_lower, &y));
    let summed = product(&transposed, &y);
    let share = row_sums(&size_d) + gamma * row_sums(&y_lower);
    for i in 0..n {
        for j in 0..n {
            let first = moved[i * n + j] + gamma * (turned[i * n + j] + turned[j * n + i] + summed[i * n + j]);
            let error = if share < 0.5 { first / (1.0 - share) } else { f64::INFINITY };
            m[i * n + j] = Tracked { value: x[i * n + j], error };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fᵀ F of an (n + 3, n) matrix F of arbitrary numbers.
    fn product(order: usize) -> Vec<f64> {
        let f = |row: usize, column: usize| (((row * 37 + column * 101) * 7919 % 1009) as f64 / 504.5 - 1.0) * 0.7;
        let entry = |place: usize| (0..order + 3).map(|row| f(row, place / order) * f(row, place % order)).sum();
        (0..order * order).map(entry).collect()
    }

    #[test]
    fn an_inverse_gives_the_identity() {
        for order in [1, 2, 5, 19] {
            let m = product(order);
            let mut x = m.clone();
            inverse(&mut x, order, 0.3);
            for (i, j) in (0..order).flat_map(|i| (0..order).map(move |j| (i, j))) {
                let shifted = |k: usize| m[i * order + k] + if i == k { 0.3 } else { 0.0 };
                let entry: f64 = (0..order).map(|k| shifted(k) * x[k * order + j]).sum();
                assert!((entry - f64::from(u8::from(i == j))).abs() < 1e-12, "{order}: {entry}");
            }
        }
    }

    /// The error in f32 is within the bound, and the bound is at most a few thousand rounding errors.
    #[test]
    fn the_bound_holds_and_is_not_idle() {
        for (order, epsilon) in [(1, 1e-2), (3, 1e-2), (9, 1e-3), (40, 0.1), (66, 1.0)] {
            let m: Vec<f32> = product(order).iter().map(|&x| x as f32).collect();
            let mut device = m.clone();
            inverse(&mut device, order, epsilon);
            let mut tracked: Vec<Tracked> = m.iter().map(|&x| Tracked::from_f32(x)).collect();
            Tracked::inverse(&mut tracked, order, Tracked::from_f32(epsilon));
            let largest = tracked.iter().map(|x| x.value.abs()).fold(0.0, f64::max);
            for (device, tracked) in device.iter().zip(&tracked) {
                let off = (f64::from(*device) - tracked.value).abs();
                assert!(off <= tracked.error, "{order}: {device} {tracked:?}");
                assert!(tracked.error < 2e-2 * largest, "{order}: {tracked:?} of {largest}");
            }
        }
        // A matrix that is indistinguishable from a singular one has no finite bound.
        let mut hopeless = [1.0, 1.0, 1.0, 1.0].map(Tracked::from_f32);
        Tracked::inverse(&mut hopeless, 2, Tracked::from_f32(1e-8));
        assert!(hopeless.iter().all(|x| x.error.is_infinite()));
    }
}
