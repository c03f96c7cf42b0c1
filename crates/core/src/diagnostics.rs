//! Diagnostics: what goes on inside the adapters of a run, from their numbers before and after a step and what a probe batch says of both.
//!
//! Everything is computed in f64 on the host, from the factors and the LoRA features, which are narrow: B A is never formed. What B makes of features
//! is measured through its Gram matrix, since ‖B z‖² = zᵀ (Bᵀ B) z.

use loralab_experiment::Diagnosis;

use crate::{device::Probe, memory::Parameter, plan::Plan};

/// A run at a moment: what it has trained, and what the probe says of it.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Trained tensors, flat.
    pub trained: Vec<f32>,
    /// A pass over the probe batch.
    pub probe: Probe,
}

/// The diagnosis of every adapter of a run, in the order of the plan's parameters, from the moments before and after one step.
///
/// The first `rows` of the probe are looked at; `scale` is s, and `frozen_pairs` flat as what is trained, or empty.
pub fn diagnose(
    plan: &Plan,
    rows: usize,
    scale: f64,
    frozen_pairs: &[f32],
    before: &Moment,
    after: &Moment,
) -> Vec<Diagnosis> {
    let adapters = plan.parameters.chunks_exact(2).enumerate();
    adapters
        .map(|(index, pair)| {
            let factors = |flat: &[f32]| Factors::new(flat, [&pair[0], &pair[1]]);
            let features = |moment: &Moment| wide(&moment.probe.lora_features[index][..rows * pair[0].shape[0]]);
            let frozen = (!frozen_pairs.is_empty()).then(|| factors(frozen_pairs));
            let [old, new] = [before, after].map(|moment| (factors(&moment.trained), features(moment)));
            let gradient = factors(&after.probe.gradient);
            let name = pair[0].name.trim_end_matches(".lora_A.weight");
            adapter(name, scale, old, new, gradient, frozen)
        })
        .collect()
}

/// A, (R, I), and B, (O, R), in f64.
struct Factors {
    a: Vec<f64>,
    b: Vec<f64>,
    rank: usize,
}

impl Factors {
    fn new(flat: &[f32], [a, b]: [&Parameter; 2]) -> Factors {
        Factors { a: wide(&flat[a.span.range()]), b: wide(&flat[b.span.range()]), rank: a.shape[0] }
    }

    /// O.
    fn outputs(&self) -> usize {
        self.b.len() / self.rank
    }
}

fn adapter(
    name: &str,
    scale: f64,
    (old, old_z): (Factors, Vec<f64>),
    (new, new_z): (Factors, Vec<f64>),
    gradient: Factors,
    frozen: Option<Factors>,
) -> Diagnosis {
    let rank = new.rank;
    let [delta_a, delta_b] = [difference(&new.a, &old.a), difference(&new.b, &old.b)];
    let delta_z = difference(&new_z, &old_z);
    let (rows, outputs) = (new_z.len() / rank, new.outputs());
    // The lengths of the rows of s z Bᵀ.
    let through = |z: &[f64], b: &[f64]| -> Vec<f64> {
        let gram = gram_of_columns(b, rank);
        z.chunks_exact(rank).map(|z| scale.abs() * quadratic(&gram, z).max(0.0).sqrt()).collect()
    };
    let root_mean_square = |lengths: &[f64], columns: usize| norm(lengths) / ((rows * columns) as f64).sqrt();
    let mean = |lengths: &[f64]| lengths.iter().sum::<f64>() / rows as f64;
    let z_a: Vec<f64> = new_z.chunks_exact(rank).map(norm).collect();
    let z_b = through(&new_z, &new.b);
    let part = |z: &[f64], b: &[f64]| root_mean_square(&through(z, b), outputs);
    let squares = squared_singular_values(scale, &new, frozen.as_ref());
    let product = squares.iter().sum::<f64>().max(0.0);
    let largest = squares.iter().copied().fold(0.0, f64::max);
    let ratio = |change: &[f64], to: &[f64]| {
        let size = norm(to);
        (size > 0.0).then(|| norm(change) / size)
    };
    Diagnosis {
        module: name.to_owned(),
        z_a: root_mean_square(&z_a, rank),
        z_b: root_mean_square(&z_b, outputs),
        z_a_length: mean(&z_a),
        z_b_length: mean(&z_b),
        delta_1: part(&delta_z, &old.b),
        delta_2: part(&old_z, &delta_b),
        delta_3: part(&delta_z, &delta_b),
        a: norm(&new.a),
        b: norm(&new.b),
        product: product.sqrt(),
        stable_rank: (largest > 0.0).then(|| product / largest),
        largest_singular_value: largest.sqrt(),
        gradient_a: norm(&gradient.a),
        gradient_b: norm(&gradient.b),
        update_a: ratio(&delta_a, &new.a),
        update_b: ratio(&delta_b, &new.b),
    }
}

/// The squared singular values of s (B A − B₀ A₀), or of s B A, in no order.
///
/// With a second pair this is s ((B − B₀) A + B₀ (A − A₀)), which loses nothing to cancellation while the pairs are close. The product of U, (O, Q), and
/// V, (Q, I), has the squared singular values that are the eigenvalues of G_U G_V, the product of the Gram matrices Uᵀ U and V Vᵀ.
fn squared_singular_values(scale: f64, pair: &Factors, frozen: Option<&Factors>) -> Vec<f64> {
    let rank = pair.rank;
    let (outputs, inputs) = (pair.outputs(), pair.a.len() / rank);
    let (left, right) = match frozen {
        None => (pair.b.clone(), pair.a.clone()),
        Some(frozen) => {
            let [delta_b, delta_a] = [difference(&pair.b, &frozen.b), difference(&pair.a, &frozen.a)];
            let rows = delta_b.chunks_exact(rank).zip(frozen.b.chunks_exact(rank));
            (rows.flat_map(|(delta, b)| [delta, b].concat()).collect(), [&pair.a[..], &delta_a].concat())
        }
    };
    let columns = left.len() / outputs;
    let left = gram_of_columns(&left, columns);
    let right = gram_of_rows(&right, inputs);
    // With G_V = L Lᵀ, Lᵀ G_U L is symmetric and has the eigenvalues of G_U G_V.
    let root = cholesky(&right, columns);
    let inner = multiply(&transposed(&root, columns), &multiply(&left, &root, columns), columns);
    let squares = symmetric_eigenvalues(inner, columns);
    squares.into_iter().map(|square| scale * scale * square.max(0.0)).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

fn difference(new: &[f64], old: &[f64]) -> Vec<f64> {
    new.iter().zip(old).map(|(new, old)| new - old).collect()
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// Mᵀ M of a matrix of so many columns.
fn gram_of_columns(matrix: &[f64], columns: usize) -> Vec<f64> {
    let mut gram = vec![0.0; columns * columns];
    for row in matrix.chunks_exact(columns) {
        for (left, out) in row.iter().zip(gram.chunks_exact_mut(columns)) {
            out.iter_mut().zip(row).for_each(|(sum, right)| *sum += left * right);
        }
    }
    gram
}

/// M Mᵀ of a matrix of so many columns.
fn gram_of_rows(matrix: &[f64], columns: usize) -> Vec<f64> {
    let rows = matrix.chunks_exact(columns);
    rows.clone().flat_map(|left| rows.clone().map(|right| dot(left, right))).collect()
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(x, y)| x * y).sum()
}

/// zᵀ G z.
fn quadratic(gram: &[f64], z: &[f64]) -> f64 {
    gram.chunks_exact(z.len()).zip(z).map(|(row, z_i)| z_i * dot(row, z)).sum()
}

/// The product of two square matrices.
fn multiply(left: &[f64], right: &[f64], n: usize) -> Vec<f64> {
    let mut product = vec![0.0; n * n];
    for (row, out) in left.chunks_exact(n).zip(product.chunks_exact_mut(n)) {
        for (x, of_right) in row.iter().zip(right.chunks_exact(n)) {
            out.iter_mut().zip(of_right).for_each(|(sum, y)| *sum += x * y);
        }
    }
    product
}

fn transposed(matrix: &[f64], n: usize) -> Vec<f64> {
    (0..n * n).map(|place| matrix[place % n * n + place / n]).collect()
}

/// L of G = L Lᵀ for a G without negative eigenvalues; what is zero to rounding beside the largest entry counts as zero.
fn cholesky(gram: &[f64], n: usize) -> Vec<f64> {
    let floor = f64::EPSILON * n as f64 * (0..n).map(|i| gram[i * n + i]).fold(0.0, f64::max);
    let mut lower = vec![0.0; n * n];
    for column in 0..n {
        let so_far = &lower[column * n..column * n + column];
        let pivot = gram[column * n + column] - dot(so_far, so_far);
        if pivot <= floor {
            continue;
        }
        let root = pivot.sqrt();
        lower[column * n + column] = root;
        for row in column + 1..n {
            let sum = dot(&lower[row * n..row * n + column], &lower[column * n..column * n + column]);
            lower[row * n + column] = (gram[row * n + column] - sum) / root;
        }
    }
    lower
}

/// The eigenvalues of a symmetric matrix, in no order, by Jacobi's rotations (Golub & Van Loan, *Matrix Computations*, §8.5).
fn symmetric_eigenvalues(mut matrix: Vec<f64>, n: usize) -> Vec<f64> {
    // Convergence is quadratic; a dozen sweeps are more than any matrix of this size needs.
    for _ in 0..30 {
        let off: f64 = (0..n * n).filter(|place| place / n != place % n).map(|place| matrix[place].powi(2)).sum();
        let all: f64 = matrix.iter().map(|x| x * x).sum();
        if off <= all * f64::EPSILON.powi(2) {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut matrix, n, p, q);
            }
        }
    }
    (0..n).map(|i| matrix[i * n + i]).collect()
}

/// One rotation, after which the entry at (p, q) is zero.
fn rotate(matrix: &mut [f64], n: usize, p: usize, q: usize) {
    let off = matrix[p * n + q];
    if off == 0.0 {
        return;
    }
    let theta = (matrix[q * n + q] - matrix[p * n + p]) / (2.0 * off);
    let tangent = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
    let sine = tangent * cosine;
    for i in 0..n {
        let (x, y) = (matrix[i * n + p], matrix[i * n + q]);
        (matrix[i * n + p], matrix[i * n + q]) = (cosine * x - sine * y, sine * x + cosine * y);
    }
    for i in 0..n {
        let (x, y) = (matrix[p * n + i], matrix[q * n + i]);
        (matrix[p * n + i], matrix[q * n + i]) = (cosine * x - sine * y, sine * x + cosine * y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loralab_linalg::Stream;

    fn normal(name: &str, len: usize) -> Vec<f64> {
        let mut values = vec![0.0; len];
        Stream::new(3, name).normal(1.0, &mut values);
        wide(&values)
    }

    fn factors(name: &str, [inputs, outputs, rank]: [usize; 3]) -> Factors {
        Factors {
            a: normal(&format!("{name}.a"), rank * inputs),
            b: normal(&format!("{name}.b"), outputs * rank),
            rank,
        }
    }

    /// z Bᵀ, (rows, O), formed.
    fn product(z: &[f64], b: &[f64], rank: usize) -> Vec<f64> {
        z.chunks_exact(rank).flat_map(|z| b.chunks_exact(rank).map(move |b| dot(z, b))).collect()
    }

    fn mean_square(values: &[f64]) -> f64 {
        (values.iter().map(|x| x * x).sum::<f64>() / values.len() as f64).sqrt()
    }

    fn assert_close(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-12 * expected.abs().max(1.0), "{found} instead of {expected}");
    }

    #[test]
    fn parts_and_features_are_those_of_the_formed_products() {
        let (shape, rank, rows, scale) = ([7, 5, 3], 3, 4, 1.7);
        let [old, new] = ["old", "new"].map(|name| factors(name, shape));
        let [old_z, new_z] = ["old.z", "new.z"].map(|name| normal(name, rows * rank));
        let [delta_b, delta_z] = [difference(&new.b, &old.b), difference(&new_z, &old_z)];
        let formed = |z: &[f64], b: &[f64]| -> Vec<f64> { product(z, b, rank).iter().map(|x| scale * x).collect() };
        let parts = [formed(&delta_z, &old.b), formed(&old_z, &delta_b), formed(&delta_z, &delta_b)];
        // The three parts are the change of Z_B, to rounding.
        let change = difference(&formed(&new_z, &new.b), &formed(&old_z, &old.b));
        for (index, change) in change.iter().enumerate() {
            assert_close(parts.iter().map(|part| part[index]).sum(), *change);
        }
        let z_b = formed(&new_z, &new.b);
        let lengths = |z: &[f64], columns: usize| z.chunks_exact(columns).map(norm).sum::<f64>() / rows as f64;
        let found = adapter("q", scale, (old, old_z), (new, new_z.clone()), factors("gradient", shape), None);
        assert_close(found.delta_1, mean_square(&parts[0]));
        assert_close(found.delta_2, mean_square(&parts[1]));
        assert_close(found.delta_3, mean_square(&parts[2]));
        assert_close(found.z_a, mean_square(&new_z));
        assert_close(found.z_b, mean_square(&z_b));
        assert_close(found.z_a_length, lengths(&new_z, rank));
        assert_close(found.z_b_length, lengths(&z_b, 5));
    }

    #[test]
    fn the_product_is_measured_without_being_formed() {
        let (rank, scale) = (3, 0.6);
        let [pair, frozen] = ["new", "old"].map(|name| factors(name, [7, 5, 3]));
        for frozen in [None, Some(&frozen)] {
            let entry = |pair: &Factors, o: usize, i: usize| -> f64 {
                (0..rank).map(|r| pair.b[o * rank + r] * pair.a[r * 7 + i]).sum()
            };
            let formed: Vec<f64> = (0..35)
                .map(|place| {
                    let (o, i) = (place / 7, place % 7);
                    scale * (entry(&pair, o, i) - frozen.map_or(0.0, |frozen| entry(frozen, o, i)))
                })
                .collect();
            let squares = squared_singular_values(scale, &pair, frozen);
            assert_close(squares.iter().sum::<f64>().sqrt(), norm(&formed));
            // The largest singular value by power iteration on the formed product.
            let mut x = vec![1.0; 7];
            for _ in 0..2000 {
                let y: Vec<f64> = formed.chunks_exact(7).map(|row| dot(row, &x)).collect();
                x = (0..7).map(|i| (0..5).map(|o| formed[o * 7 + i] * y[o]).sum()).collect();
                let length = norm(&x);
                x.iter_mut().for_each(|x| *x /= length);
            }
            let largest = norm(&formed.chunks_exact(7).map(|row| dot(row, &x)).collect::<Vec<_>>());
            assert_close(squares.iter().copied().fold(0.0, f64::max).sqrt(), largest);
        }
    }

    #[test]
    fn a_pair_that_has_not_left_its_frozen_one_has_moved_by_exactly_nothing() {
        let pair = factors("new", [7, 5, 3]);
        assert_eq!(squared_singular_values(2.0, &pair, Some(&pair)), [0.0; 6]);
        let zero = Factors { a: normal("a", 21), b: vec![0.0; 15], rank: 3 };
        assert_eq!(squared_singular_values(2.0, &zero, None), [0.0; 3]);
    }
}
