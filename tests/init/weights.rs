//! Starts that are made from a weight. Factors are unique up to signs and rotations only, so products and projectors are compared, with those of a
//! decomposition by Jacobi's method that shares nothing with the library's.

use half::{bf16, f16};
use loralab_core::{
    device::{MakeDevice, RunSettings, wait},
    graph::{
        memory::{Data, Quantiser, Tensor, Weight},
        plan::{Optimizer, Shape},
        tape::{Purpose, Tape},
    },
    lab::{compute_start, train::Run},
    lora::init::find,
    models::{Adapters, Base},
};
use loralab_data::Dataset;
use loralab_experiment::Experiment;
use loralab_linalg::Stream;

use super::data::{cpu, on_each_device, start};
use crate::{small::config, training::NANO};

/// (O, I, R): square, tall, wide, odd, a rank of 1, and a rank as large as the narrow side.
const SHAPES: [(usize, usize, usize); 5] = [(16, 16, 4), (23, 9, 3), (9, 23, 4), (13, 7, 1), (12, 5, 5)];
const SCALES: [f64; 4] = [0.5, 1.0, 2.0, 8.0];

/// A matrix, row after row.
#[derive(Clone)]
pub struct Matrix {
    pub rows: usize,
    pub columns: usize,
    at: Vec<f64>,
}

impl Matrix {
    pub fn new(rows: usize, columns: usize, at: impl Fn(usize, usize) -> f64) -> Self {
        let at = (0..rows * columns).map(|index| at(index / columns, index % columns)).collect();
        Self { rows, columns, at }
    }

    pub fn get(&self, row: usize, column: usize) -> f64 {
        self.at[row * self.columns + column]
    }

    pub fn times(&self, other: &Self) -> Self {
        assert_eq!(self.columns, other.rows);
        let sum = |i, j| (0..self.columns).map(|k| self.get(i, k) * other.get(k, j)).sum();
        Self::new(self.rows, other.columns, sum)
    }

    pub fn t(&self) -> Self {
        Self::new(self.columns, self.rows, |i, j| self.get(j, i))
    }

    pub fn plus(&self, factor: f64, other: &Self) -> Self {
        Self::new(self.rows, self.columns, |i, j| self.get(i, j) + factor * other.get(i, j))
    }

    pub fn columns(&self, range: std::ops::Range<usize>) -> Self {
        Self::new(self.rows, range.len(), |i, j| self.get(i, range.start + j))
    }

    pub fn norm(&self) -> f64 {
        self.at.iter().map(|x| x * x).sum::<f64>().sqrt()
    }

    pub fn distance(&self, other: &Self) -> f64 {
        self.plus(-1.0, other).norm()
    }

    /// Singular triplets, descending: columns rotated pairwise until all are orthogonal (one-sided Jacobi).
    pub fn svd(&self) -> (Self, Vec<f64>, Self) {
        if self.columns > self.rows {
            let (u, s, v) = self.t().svd();
            return (v, s, u);
        }
        let mut columns: Vec<Vec<f64>> =
            (0..self.columns).map(|j| (0..self.rows).map(|i| self.get(i, j)).collect()).collect();
        let mut v: Vec<Vec<f64>> =
            (0..self.columns).map(|j| (0..self.columns).map(|i| f64::from(u8::from(i == j))).collect()).collect();
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        for _ in 0..60 {
            for p in 0..self.columns {
                for q in p + 1..self.columns {
                    let (a, b, c) =
                        (dot(&columns[p], &columns[p]), dot(&columns[q], &columns[q]), dot(&columns[p], &columns[q]));
                    if c.abs() < 1e-18 {
                        continue;
                    }
                    let angle = 0.5 * (2.0 * c).atan2(a - b);
                    let (sin, cos) = angle.sin_cos();
                    for set in [&mut columns, &mut v] {
                        for i in 0..set[p].len() {
                            let (x, y) = (set[p][i], set[q][i]);
                            (set[p][i], set[q][i]) = (cos * x + sin * y, cos * y - sin * x);
                        }
                    }
                }
            }
        }
        let mut order: Vec<(f64, usize)> = columns.iter().map(|x| dot(x, x).sqrt()).zip(0..).collect();
        order.sort_by(|one, other| other.0.total_cmp(&one.0));
        let pick = |set: &[Vec<f64>], divide: bool| {
            Self::new(set[0].len(), order.len(), |i, k| set[order[k].1][i] / if divide { order[k].0 } else { 1.0 })
        };
        (pick(&columns, true), order.iter().map(|(s, _)| *s).collect(), pick(&v, false))
    }
}

/// Σ sₖ uₖ vₖᵀ over a range of triplets.
pub fn triplets((u, s, v): &(Matrix, Vec<f64>, Matrix), range: std::ops::Range<usize>) -> Matrix {
    let u = u.columns(range.clone());
    let scaled = Matrix::new(u.rows, u.columns, |i, k| u.get(i, k) * s[range.start + k]);
    scaled.times(&v.columns(range).t())
}

struct Begun {
    w: Matrix,
    a: Matrix,
    b: Matrix,
    rank: usize,
    scale: f64,
    what: String,
}

impl Begun {
    /// s·B·A
    fn product(&self) -> Matrix {
        let product = self.b.times(&self.a);
        Matrix::new(product.rows, product.columns, |i, j| self.scale * product.get(i, j))
    }
}

/// The conversion of a weight to the precision that it is stored in.
pub type Store = fn(Vec<f32>) -> Data;
pub const PRECISIONS: [(&str, Store); 3] = [
    ("f32", |x| Data::F32(x.into())),
    ("f16", |x| Data::F16(x.into_iter().map(f16::from_f32).collect())),
    ("bf16", |x| Data::Bf16(x.into_iter().map(bf16::from_f32).collect())),
];

/// The start of a scheme at every shape, scale and stored precision, over a weight whose spectrum falls.
fn each(scheme: &str, look: impl Fn(&Begun)) {
    each_on(scheme, &cpu, look);
}

fn each_on(scheme: &str, make_device: MakeDevice<'_>, look: impl Fn(&Begun)) {
    let scheme = find(scheme).expect("listed");
    for (outputs, inputs, rank) in SHAPES {
        for (precision, convert) in PRECISIONS {
            let mut elements = vec![0.0; outputs * inputs];
            Stream::new(3, "w").normal(0.1, &mut elements);
            elements.iter_mut().enumerate().for_each(|(i, x)| *x *= 0.8_f32.powi((i % inputs) as i32));
            let data = convert(elements);
            let stored = data.to_f32();
            let w = Matrix::new(outputs, inputs, |i, j| f64::from(stored[i * inputs + j]));
            let tensor = Tensor { name: "layer.weight".to_owned(), shape: [outputs, inputs], data };
            let base = Base { model: config(1, 1, true).into(), tensors: [tensor].into() };
            let adapters = Adapters::new(rank, vec!["layer".to_owned()]);
            for scale in SCALES {
                let mut tape = Tape::new(Shape { runs: 1, sequences: 1, tokens: 1 }, scheme.frozen_pair);
                let x = tape.features(inputs);
                let y = tape.lora_linear(x, Weight::Frozen(0), None, outputs, rank, "layer");
                tape.mse(y);
                let plan = tape.compile(Purpose::Train(Optimizer::SignSgd));
                let settings = RunSettings { scale, learning_rate_ratio: 1.0, weight_decay: 0.0, max_grad_norm: 0.0 };
                let run = Run { scheme, chosen: Default::default(), seed: 1, learning_rate: 0.0, settings };
                let (trained, frozen) = start(&base, &adapters, &run, &plan, make_device).expect("a start").numbers();
                assert_eq!(frozen, if scheme.frozen_pair { trained.clone() } else { vec![] });
                let (a, b) = trained.split_at(rank * inputs);
                let what = format!("{} {outputs} × {inputs}, rank {rank}, scale {scale}, {precision}", scheme.name);
                look(&Begun {
                    w: w.clone(),
                    a: Matrix::new(rank, inputs, |i, j| f64::from(a[i * inputs + j])),
                    b: Matrix::new(outputs, rank, |i, j| f64::from(b[i * rank + j])),
                    rank,
                    scale,
                    what,
                });
            }
        }
    }
}

/// Factors are rounded to f32 once, which moves a product by a few units in its last place.
const ROUNDING: f64 = 5e-7;

#[test]
fn the_reference_decomposes() {
    let w = Matrix::new(9, 5, |i, j| ((3 * i + 7 * j) % 11) as f64 - 4.0);
    for m in [w.clone(), w.t()] {
        let (u, s, v) = m.svd();
        assert!(triplets(&(u.clone(), s.clone(), v), 0..5).distance(&m) < 1e-12);
        assert!(s.is_sorted_by(|x, y| x >= y));
        let identity = Matrix::new(5, 5, |i, j| f64::from(u8::from(i == j)));
        assert!(u.t().times(&u).distance(&identity) < 1e-12);
    }
}

#[test]
fn pissa_is_the_best_approximation_and_splits_it_evenly() {
    each("pissa", |begun| {
        let Begun { w, a, b, rank, scale, what } = begun;
        let exact = w.svd();
        assert!(begun.product().distance(&triplets(&exact, 0..*rank)) < ROUNDING * w.norm(), "{what}");
        let share = exact.1[..*rank].iter().sum::<f64>() / scale;
        for factor in [a, b] {
            assert!((factor.norm().powi(2) / share - 1.0).abs() < ROUNDING, "{what}");
        }
        // The residual of W has the rest of its spectrum.
        let left = w.plus(-1.0, &begun.product()).svd().1;
        for (found, expected) in left.iter().zip(exact.1[*rank..].iter().copied().chain([0.0; 32])) {
            assert!((found - expected).abs() < ROUNDING * w.norm(), "{what}: {found} {expected}");
        }
    });
}

/// Neither factor is divided by the scale; what few bits lose is made up for as well as the rank allows.
#[test]
fn loftq_makes_up_for_what_few_bits_lose() {
    for (scheme, quantiser) in [("loftq-nf4", Quantiser::Nf4), ("loftq-int8", Quantiser::Int8)] {
        each(scheme, |begun| {
            let Begun { w, a, b, rank, what, .. } = begun;
            let values: Vec<f32> = (0..w.rows).flat_map(|i| (0..w.columns).map(move |j| w.get(i, j) as f32)).collect();
            let kept = quantiser.apply(&values, w.columns);
            let lost = Matrix::new(w.rows, w.columns, |i, j| w.get(i, j) - f64::from(kept[i * w.columns + j]));
            let best = triplets(&lost.svd(), 0..*rank);
            assert!(b.times(a).distance(&best) < 1e-6 * lost.norm() + 1e-9, "{what}");
            assert!(lost.norm() > 1e-4 * w.norm() && lost.norm() < 0.2 * w.norm(), "{what}: {}", lost.norm());
        });
    }
}

/// Each round begins with what the last one left to make up for, so that several leave no more than one does, and the adapter belongs to the base of the last.
#[test]
fn loftq_leaves_less_after_several_rounds() {
    for scheme in ["loftq-nf4", "loftq-int8"] {
        let left = |rounds: usize| {
            let text = format!(
                "base = 'nano'\nschemes = '{scheme}'\nrank = 8\nalpha = 8\nscheme_options = '{scheme}.rounds={rounds}'"
            );
            let experiment = Experiment::from_toml(&text).expect("TOML").resolve(&[scheme]).expect("it is right");
            let cell = &experiment.cells()[0];
            let begun =
                wait(compute_start(&NANO, "nano", &experiment, cell, &Dataset::Text(vec![]), &cpu)).expect("a start");
            begun.layers.iter().map(|layer| layer.moved).sum::<f64>()
        };
        let [one, two, five] = [1, 2, 5].map(left);
        assert!(five < two && two < one, "{scheme}: {one} {two} {five}");
    }
}

/// The randomised triplets leave at least what the exact ones leave, and in the spectral norm at most σ_R₊₁ times the ninth root of what an
/// unlucky sketch costs: with q power iterations that root is 1/(2q + 1).
#[test]
fn randomised_pissa_captures_nearly_what_pissa_does() {
    let look = |begun: &Begun| {
        let Begun { w, rank, what, .. } = begun;
        let (_, s, _) = w.svd();
        let missed = w.plus(-1.0, &begun.product()).norm();
        let best = s[*rank..].iter().map(|s| s * s).sum::<f64>().sqrt();
        assert!(missed >= best - ROUNDING * w.norm(), "{what}");
        let next = s.get(*rank).copied().unwrap_or(0.0);
        // Halko, Martinsson and Tropp, theorems 9.1 and 9.2, for a sketch without oversampling that is one of the worst in a hundred.
        let width = (s.len() as f64).sqrt() * 100.0;
        let spectral = next * width.powf(1.0 / 9.0);
        assert!(w.plus(-1.0, &begun.product()).svd().1[0] <= spectral + ROUNDING * w.norm(), "{what}");
    };
    on_each_device(|make_device| each_on("pissa-niter-4", make_device, look));
}

#[test]
fn milora_takes_the_smallest_triplets() {
    each("milora", |begun| {
        let Begun { w, rank, what, .. } = begun;
        let exact = w.svd();
        let count = exact.1.len();
        assert!(begun.product().distance(&triplets(&exact, count - rank..count)) < ROUNDING * w.norm(), "{what}");
        let left = w.plus(-1.0, &begun.product()).svd().1;
        assert!(left[count - rank..].iter().all(|s| *s < ROUNDING * w.norm()), "{what}: rank of the rest");
        assert!(left[..count - rank].iter().zip(&exact.1).all(|(x, y)| (x - y).abs() < ROUNDING * w.norm()), "{what}");
    });
}

#[test]
fn olora_is_the_first_part_of_qr_whatever_the_scale() {
    let look = |begun: &Begun| {
        let Begun { w, a, b, rank, what, .. } = begun;
        let identity = Matrix::new(*rank, *rank, |i, j| f64::from(u8::from(i == j)));
        assert!(b.t().times(b).distance(&identity) < ROUNDING * *rank as f64, "{what}: B is orthonormal");
        // B A is W's projection on the span of its first R columns, which Q's first columns are a basis of.
        assert!(b.times(a).distance(&b.times(&b.t().times(w))) < ROUNDING * w.norm(), "{what}");
        let first = w.columns(0..*rank);
        assert!(first.distance(&b.times(&b.t().times(&first))) < ROUNDING * w.norm(), "{what}");
        for k in 0..*rank {
            assert!(a.get(k, k) >= 0.0 && (0..k).all(|j| a.get(k, j) == 0.0), "{what}: A is upper triangular");
        }
        // Only at s = 1 do the first R columns vanish from the rest.
        let left = w.plus(-1.0, &begun.product()).columns(0..*rank).norm();
        assert!(
            (left - (1.0 - begun.scale).abs() * first.norm()).abs() < 4.0 * ROUNDING * begun.scale * w.norm(),
            "{what}"
        );
    };
    on_each_device(|make_device| each_on("olora", make_device, look));
}

#[test]
fn nora_is_a_sketch_of_the_row_space() {
    let look = |begun: &Begun| {
        let Begun { w, a, b, rank, scale, what } = begun;
        assert!(b.at.iter().all(|x| *x == 0.0), "{what}");
        let mut drawn = vec![0.0; rank * w.rows];
        Stream::new(1, "layer.lora_A.weight").normal(1.0, &mut drawn);
        let omega = Matrix::new(*rank, w.rows, |i, j| f64::from(drawn[i * w.rows + j]) * 0.02 / scale);
        assert!(a.distance(&omega.times(w)) < ROUNDING * a.norm(), "{what}");
    };
    on_each_device(|make_device| each_on("nora", make_device, look));
}

#[test]
fn mica_is_what_the_weight_writes_to_least() {
    each("mica", |begun| {
        let Begun { w, a, b, rank, what, .. } = begun;
        assert!(a.at.iter().all(|x| *x == 0.0), "{what}");
        let (u, s, _) = w.svd();
        let last = u.columns(s.len() - rank..s.len());
        // The last triplets are small, so the subspace is only as sharp as their gap to the others; the projectors are compared.
        assert!(b.times(&b.t()).distance(&last.times(&last.t())) < 1e-5, "{what}");
    });
}
