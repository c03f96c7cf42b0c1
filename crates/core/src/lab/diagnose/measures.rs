//! Diagnostics: measurements of a run's adapters, from their values before and after a step and a probe batch at both.
//!
//! Everything is computed in f64 on the host, from the factors and the LoRA features, which are narrow: B A is never formed. The effect of B on features
//! is measured through its Gram matrix, since ‖B z‖² = zᵀ (Bᵀ B) z.

use loralab_experiment::Diagnosis;
use loralab_linalg::{Mat, product_svd};

use crate::{
    device::Probe,
    graph::{
        memory::{Site, Span},
        plan::Plan,
    },
};

/// A snapshot of a run: its trained tensors, and the probe's values with them.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Trained tensors, flat.
    pub trained: Vec<f32>,
    /// The values of a pass over the probe batch.
    pub probe: Probe,
}

/// The gradient G of the base's loss on the probe, (O, I) for every adapter, as far as a run needs it: a pass over adapters with this A and a B of zeros
/// has G Aᵀ as the gradient of B.
#[derive(Clone, Copy, Debug)]
pub struct BaseGradient<'a> {
    /// ‖G‖ of every adapter's layer.
    pub norms: &'a [f64],
    /// G Aᵀ with the run's current A, at the offsets of B in a flat buffer.
    pub by_a: &'a [f32],
    /// G A₀ᵀ with the A₀ of its frozen pair; empty without one.
    pub by_frozen_a: &'a [f32],
}

/// The settings of a run's diagnosis.
#[derive(Clone, Copy, Debug)]
pub struct Lens<'a> {
    /// The number of the probe's first rows that are used.
    pub rows: usize,
    /// The scale of the run; that of an adapter is a multiple of it.
    pub scale: f64,
    /// Adam's ε; none for another optimiser.
    pub epsilon: Option<f64>,
    /// v̂ of every trained element after the step; empty without Adam.
    pub second_moment: &'a [f64],
    /// The frozen pairs, laid out as the trained tensors, or empty.
    pub frozen_pairs: &'a [f32],
    /// The gradient of the base's loss.
    pub base: BaseGradient<'a>,
}

/// The diagnosis of every adapter of a run, in the order of the plan's parameters, from the snapshots before and after one step.
pub fn diagnose(plan: &Plan, lens: Lens<'_>, before: &Moment, after: &Moment) -> Vec<Diagnosis> {
    let Lens { rows, scale, epsilon, second_moment, frozen_pairs, base } = lens;
    let adapters = plan.sites.iter().enumerate();
    adapters
        .map(|(index, site)| {
            let scale = scale * site.factor;
            let factors = |flat: &[f32]| Factors::new(flat, site);
            let features = |moment: &Moment| wide(&moment.probe.observed[index][..rows * site.rank]);
            let frozen = (!frozen_pairs.is_empty()).then(|| factors(frozen_pairs));
            let [old, new] = [before, after].map(|moment| (factors(&moment.trained), features(moment)));
            let gradient = factors(&after.probe.gradient);
            let of_b = site.b.range();
            let by_frozen_a = base.by_frozen_a.get(of_b.clone()).unwrap_or_default();
            let downhill = downhill(&new.0.b, frozen.as_ref(), &base.by_a[of_b], by_frozen_a);
            let mut diagnosis = adapter(&site.module, scale, old, new, gradient, frozen);
            let lengths = diagnosis.product * base.norms[index];
            diagnosis.alignment = (lengths > 0.0).then(|| scale * downhill / lengths);
            let below = |factor: Span| Some(share_below(second_moment.get(factor.range())?, epsilon?));
            (diagnosis.below_epsilon_a, diagnosis.below_epsilon_b) = (below(site.a), below(site.b));
            diagnosis
        })
        .collect()
}

/// ⟨B A − B₀ A₀, −G⟩, from G Aᵀ and G A₀ᵀ: since ⟨B A, G⟩ = ⟨B, G Aᵀ⟩. With a second pair it is computed as −⟨B − B₀, G Aᵀ⟩ − ⟨B₀, G Aᵀ − G A₀ᵀ⟩.
fn downhill(b: &[f64], frozen: Option<&Factors>, by_a: &[f32], by_frozen_a: &[f32]) -> f64 {
    let by_a = wide(by_a);
    match frozen {
        None => -dot(b, &by_a),
        Some(frozen) => {
            let moved = dot(&difference(b, &frozen.b), &by_a);
            -moved - dot(&frozen.b, &difference(&by_a, &wide(by_frozen_a)))
        }
    }
}

/// The share of elements that have had a gradient and whose √v̂ is less than ε.
fn share_below(second_moment: &[f64], epsilon: f64) -> f64 {
    let below = second_moment.iter().filter(|v| **v > 0.0 && v.sqrt() < epsilon).count();
    below as f64 / second_moment.len() as f64
}

/// KL(base ‖ run): Σ p log(p / q) with p and q the softmax of the logits of base and run, (rows, V), as the mean over the rows with nonzero weight, in nats.
pub fn kl_from_base(base: &[f32], run: &[f32], weights: &[f32]) -> f64 {
    let columns = base.len() / weights.len();
    let rows =
        base.chunks_exact(columns).zip(run.chunks_exact(columns)).zip(weights).filter(|(_, weight)| **weight != 0.0);
    let of_row = |((base, run), _): ((&[f32], &[f32]), &f32)| {
        let [p, q] = [base, run].map(log_softmax);
        p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>()
    };
    let (count, sum) = rows.map(of_row).fold((0, 0.0), |(count, sum), kl| (count + 1, sum + kl));
    sum / count.max(1) as f64
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let logits = wide(logits);
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total = most + logits.iter().map(|x| (x - most).exp()).sum::<f64>().ln();
    logits.iter().map(|x| x - total).collect()
}

/// A, (R, I), and B, (O, R), in f64.
struct Factors {
    a: Vec<f64>,
    b: Vec<f64>,
    rank: usize,
}

impl Factors {
    fn new(flat: &[f32], site: &Site) -> Factors {
        Factors { a: wide(&flat[site.a.range()]), b: wide(&flat[site.b.range()]), rank: site.rank }
    }

    /// The output width O.
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
    // The norms of the rows of s z Bᵀ.
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
    let largest = squares.first().copied().unwrap_or(0.0);
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
        alignment: None,
        below_epsilon_a: None,
        below_epsilon_b: None,
    }
}

/// The squared singular values of s (B A − B₀ A₀), or of s B A, in falling order; a single NaN if the product can't be decomposed.
///
/// With a second pair this is s ((B − B₀) A + B₀ (A − A₀)), which loses nothing to cancellation while the pairs are close.
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
    let left = Mat::from_fn(outputs, columns, |o, q| left[o * columns + q]);
    let right = Mat::from_fn(columns, inputs, |q, i| right[q * inputs + i]);
    match product_svd(left.as_ref(), right.as_ref()) {
        Ok(product) => product.s.iter().map(|value| (scale * value).powi(2)).collect(),
        Err(_) => vec![f64::NAN],
    }
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

/// Mᵀ M of a matrix with `columns` columns.
fn gram_of_columns(matrix: &[f64], columns: usize) -> Vec<f64> {
    let mut gram = vec![0.0; columns * columns];
    for row in matrix.chunks_exact(columns) {
        for (left, out) in row.iter().zip(gram.chunks_exact_mut(columns)) {
            out.iter_mut().zip(row).for_each(|(sum, right)| *sum += left * right);
        }
    }
    gram
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(x, y)| x * y).sum()
}

/// zᵀ G z.
fn quadratic(gram: &[f64], z: &[f64]) -> f64 {
    gram.chunks_exact(z.len()).zip(z).map(|(row, z_i)| z_i * dot(row, z)).sum()
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

    /// z Bᵀ, (rows, O), formed explicitly.
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
        // The three parts sum to the change of Z_B, up to rounding.
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
            // The largest singular value by power iteration on the explicitly formed product.
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
        assert!(squared_singular_values(2.0, &pair, Some(&pair)).iter().all(|square| *square == 0.0));
        let zero = Factors { a: normal("a", 21), b: vec![0.0; 15], rank: 3 };
        assert_eq!(squared_singular_values(2.0, &zero, None), [0.0; 3]);
    }
}
