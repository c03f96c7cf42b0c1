//! Orthonormalisation of rows by Gram–Schmidt, and a bound on its error in `f32` arithmetic. Two passes over each row suffice: Giraud, Langou, Rozložník and
//! van den Eshof 2005, *Rounding error analysis of the classical Gram-Schmidt orthogonalization process*.

use crate::reduce::sum;
use crate::simd::vectorize;
use crate::{Scalar, Tracked};

/// A row counts as linearly dependent on the rows before it if subtracting its components along them leaves at most this share of its length. In `f32` a smaller
/// remainder is rounding error: of the subtraction, up to 2⁻²⁰ for hundreds of rows, or of the sums of some thousands of terms that computed the row.
const SHARE: f64 = 1.0 / (1 << 18) as f64;

/// The sizes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows that are made orthonormal together.
    pub rows: usize,
    /// Columns, at least as many as rows.
    pub width: usize,
}

/// `y` (rows, width): each row of `x` minus its components along the rows of `y` before it, divided by its length. The rows of `y` span those of `x`.
///
/// A row that depends on those before it becomes zero; each element of a row whose length is not finite becomes that length. Lengths are roots of sums of
/// squares, so magnitudes of elements should lie between 10⁻¹⁸ and 10¹⁸.
///
/// # Panics
/// If a slice does not have the size that `shape` defines.
pub fn forward<S: Scalar>(shape: Shape, x: &[S], y: &mut [S]) {
    for length in [x.len(), y.len()] {
        assert_eq!(length, shape.rows * shape.width, "a (rows, width) operand of {shape:?}");
    }
    y.copy_from_slice(x);
    S::orthonormalise(y, shape.width);
}

/// Makes the rows in `rows`, each `width` wide, orthonormal.
pub(crate) fn gram_schmidt<S: Scalar>(rows: &mut [S], width: usize) {
    if rows.is_empty() {
        return;
    }
    let share = S::from_f64(SHARE);
    vectorize(
        #[inline(always)]
        || {
            for row in 0..rows.len() / width {
                let (before, rest) = rows.split_at_mut(row * width);
                let current = &mut rest[..width];
                let mut taken = S::ZERO;
                for _ in 0..2 {
                    for earlier in before.chunks_exact(width) {
                        let along = sum([earlier, &*current], |[e, x]| e * x);
                        taken += along * along;
                        for (x, &e) in current.iter_mut().zip(earlier) {
                            *x -= along * e;
                        }
                    }
                }
                let square = sum([&*current], |[x]| x * x);
                // The squared length of the row is that of the subtracted components plus that of the remainder.
                let (left, length) = (square.sqrt(), (square + taken).sqrt());
                for x in current {
                    *x = match left <= share * length {
                        _ if !length.is_finite() => length,
                        true => S::ZERO,
                        false => *x / left,
                    };
                }
            }
        },
    );
}

/// [`gram_schmidt`] with an error bound. Tracking each operation would give a bound that grows threefold with every row; this one bounds the error of the
/// result as a whole, for every order of the sums and for subtracting earlier rows one by one or several at once.
///
/// With rows written as columns, A = Q R is the exact result and Q̂ a device's. ε is 2⁻²⁴, γₙ = n ε / (1 − n ε), and norms are Euclidean.
///
/// - For any coefficients s that a device computes, A + ΔA = Q̂ R̂ for some R̂, with |ΔAⱼ| at most γ (|aⱼ| + Σ |qᵢ| |sᵢ|) for the first subtraction, the same for
///   the second with the first's remainder, and the rounding of the quotient (Higham, *Accuracy and Stability of Numerical Algorithms*, second edition, section 3.5).
/// - Q̂ᵀ Q̂ = I + F. The components along Q̂ that a pass over v leaves are at most ‖F‖ ‖s‖ + √j γₙ ‖v‖ plus the subtraction's error; after the second pass,
///   divided by the length, they are a column of F.
/// - With G = ΔA R⁻¹, Q + G = Q̂ R̂ R⁻¹, whose first order is Q̂ⱼ − Qⱼ = (I − Qⱼ Qⱼᵀ) Gⱼ − Σ qᵢ (qⱼᵀ Gᵢ) + Σ qᵢ Fᵢⱼ, with sums over i < j, the
///   columns up to j in Qⱼ, and half of Fⱼⱼ (Stewart 1977, *Perturbation bounds for the QR factorization of a matrix*). Higher orders are at most 4 z² if
///   z = 2 ‖G‖ + ‖G‖² + ‖F‖, in Frobenius norms, is at most an eighth; otherwise there is no bound.
///
/// A row is zero, or non-zero with a finite bound, only if that holds on every device; otherwise the bounds of this row and all later ones are infinite.
pub(crate) fn bounded(rows: &mut [Tracked], width: usize) {
    if rows.is_empty() {
        return;
    }
    // WGSL allows an error of 5 ε for a quotient and 10 ε for a root.
    let (of_quotient, of_norm) = (5.0 * EPSILON, gamma(width) / 2.0 + 10.0 * EPSILON);
    let (smallest, largest) = (f64::from(f32::MIN_POSITIVE), f64::from(f32::MAX));
    let given = rows.to_vec();
    let mut exact: Vec<f64> = rows.iter().map(|x| x.value).collect();
    gram_schmidt(&mut exact, width);
    for (row, &value) in rows.iter_mut().zip(&exact) {
        *row = Tracked { value, error: f64::INFINITY };
    }
    // The non-zero rows so far; the squared norm of each of their columns; and ‖G‖ and ‖F‖.
    let mut earlier: Vec<Bounded<'_>> = vec![];
    let mut squares = vec![0.0; width];
    let (mut turned, mut skewed) = (0.0_f64, 0.0_f64);
    for ((result, given), q) in
        rows.chunks_exact_mut(width).zip(given.chunks_exact(width)).zip(exact.chunks_exact(width))
    {
        let Projection { a, along, left, solved } = Projection::of(given, &earlier);
        let (length, rest) = (norm(&a), norm(&left));
        let inherited: f64 = earlier.iter().zip(&solved).map(|(row, w)| row.off * w.abs()).sum();

        // The first pass: the error of its subtraction, and the components that it leaves along Q̂, given that Q̂ and s are inexact too.
        let (count, higher) = (earlier.len() as f64, order(turned, skewed));
        let (of_sum, of_dots, stretch) = (gamma(earlier.len()), count.sqrt() * gamma(width), 1.0 + 2.0 * skewed);
        let moved = of_sum * (1.0 + count.sqrt()) * (3.0 * higher + of_dots) * length;
        let mut own: Vec<f64> = (0..width)
            .map(|c| {
                let parts = earlier.iter().zip(&along).map(|(row, along)| (row.q[c] * along).abs());
                let size = a[c].abs() + parts.sum::<f64>();
                let flushed = if size > 0.0 { (4.0 * count + 8.0) * smallest * length.max(1.0) } else { 0.0 };
                given[c].error + of_sum * size + moved + flushed
            })
            .collect();
        let first = norm(&own);
        let once = stretch * (stretch * (skewed + of_dots) * length + first);
        // The second pass.
        let after_once = rest + inherited + first + stretch * once;
        let again = stretch * (once + of_dots * after_once);
        let second = of_sum * (after_once + count.sqrt() * again);
        let twice = stretch * (skewed * again + of_dots * after_once + second);
        for (own, left) in own.iter_mut().zip(&left) {
            *own += second - of_sum * rest + (of_sum + of_quotient) * left.abs();
        }
        let off = norm(&own);

        // A device computes the row's length from the subtracted components and the remainder.
        let (apart, slack) = (inherited + off, 4.0 * (of_norm + EPSILON) + 2.0 * (skewed + of_dots));
        if (rest + apart + stretch * twice) * (1.0 + slack) <= SHARE * length * (1.0 - slack) {
            result.fill(Tracked::ZERO);
            continue;
        }
        let least = rest * (1.0 - higher) - apart;
        // The squares are large enough that those flushed to zero are negligible.
        let is_a_number = least * least * EPSILON > width as f64 * smallest && length * length < largest / 2.0;
        let share = apart / rest;
        let skew = stretch * (twice / least + of_quotient);
        let unit = 2.02 * (of_norm + of_quotient);
        (turned, skewed) = (turned.hypot(share), (skewed * skewed + 2.0 * skew * skew + unit * unit).sqrt());
        let higher = order(turned, skewed);
        // This also excludes rows with a remainder so small that a device may treat them as zero.
        if !(is_a_number && higher <= 0.125) {
            return;
        }
        for (c, result) in result.iter_mut().enumerate() {
            squares[c] += q[c] * q[c];
            let moved = earlier.iter().zip(&solved).map(|(row, w)| row.own[c] * w.abs()).sum::<f64>() + own[c];
            let others: f64 = earlier.iter().map(|row| row.q[c].abs() * row.share).sum();
            let along = squares[c].sqrt() * (share + skew) + q[c].abs() * unit / 2.0;
            result.error = moved / rest + along + others + 4.0 * higher * higher;
        }
        let inverse = solved.iter().map(|w| -w / rest).chain([1.0 / rest]).collect();
        earlier.push(Bounded { q, own, off, share, inverse });
    }
}

/// ε.
const EPSILON: f64 = f32::EPSILON as f64 / 2.0;

/// γₙ of a sum of `terms` products: one more operation for a product, and one for the number that the sum is subtracted from.
fn gamma(terms: usize) -> f64 {
    let chain = (terms as f64 + 2.0) * EPSILON;
    if chain < 0.5 { chain / (1.0 - chain) } else { f64::INFINITY }
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// z, from ‖G‖ and ‖F‖.
fn order(turned: f64, skewed: f64) -> f64 {
    2.0 * turned + turned * turned + skewed
}

/// A row and its components along earlier rows.
struct Projection {
    a: Vec<f64>,
    /// The components.
    along: Vec<f64>,
    /// The row without them.
    left: Vec<f64>,
    /// R⁻¹ times the components.
    solved: Vec<f64>,
}

impl Projection {
    fn of(given: &[Tracked], earlier: &[Bounded<'_>]) -> Projection {
        let a: Vec<f64> = given.iter().map(|x| x.value).collect();
        let along: Vec<f64> = earlier.iter().map(|row| row.q.iter().zip(&a).map(|(q, a)| q * a).sum()).collect();
        let mut left = a.clone();
        for (row, along) in earlier.iter().zip(&along) {
            left.iter_mut().zip(row.q).for_each(|(x, q)| *x -= along * q);
        }
        let count = earlier.len();
        let solved = (0..count).map(|l| (l..count).map(|i| earlier[i].inverse[l] * along[i]).sum()).collect();
        Projection { a, along, left, solved }
    }
}

/// A non-zero row, with its error bounds.
struct Bounded<'a> {
    /// qⱼ.
    q: &'a [f64],
    /// Bounds on the magnitude of each element of ΔAⱼ, and the norm of these bounds.
    own: Vec<f64>,
    off: f64,
    /// ‖Gⱼ‖.
    share: f64,
    /// Column j of R⁻¹, down to its diagonal.
    inverse: Vec<f64>,
}
