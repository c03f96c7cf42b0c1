//! Triplets of a weight whose range a device finds in f32, against [`randomised_svd`] by exact products from the same draws.
//!
//! Factors are unique up to signs and, where singular values are close, hardly at all; so B A is compared, and the spans of B's columns and A's rows.

use loralab_core::{
    device::{MakeDevice, RunSettings, wait},
    graph::{
        memory::{Data, Tensor, Weight},
        plan::{Optimizer, Plan, Shape},
        tape::{Purpose, Tape},
    },
    lab::{
        calibrate::{Calibration, Setup},
        train::{Initial, Run},
    },
    lora::init::find,
    models::{Adapters, Base, Training, llama::MODULES},
};
use loralab_data::Dataset;
use loralab_linalg::{
    Mat, MatRef, Qr, Scale, Stream, from_rows, normal_matrix, randomised_svd, svd, symmetric_eigen, thin_qr, to_rows,
};

use super::{
    SHAPE,
    data::{on_each_device, start},
    weights::PRECISIONS,
};
use crate::small::{base, config};

/// (O, I, R): odd, tall and wide beyond a tile of the GPU, a rank of 1, and a rank as large as the narrow side.
const SHAPES: [(usize, usize, usize); 6] =
    [(17, 17, 4), (131, 67, 9), (67, 131, 8), (13, 7, 1), (5, 129, 5), (70, 3, 3)];
/// Size of each column of the weight relative to the one before it: the same, falling as in trained weights, and falling steeply.
const FALLS: [f32; 3] = [1.0, 0.97, 0.7];
const SCALE: f64 = 2.0;
const SEED: u64 = 3;

fn run(seed: u64, chosen: &[(&'static str, f64)]) -> Run {
    let settings = RunSettings { scale: SCALE, learning_rate_ratio: 1.0, weight_decay: 0.0, max_grad_norm: 0.0 };
    let scheme = find("pissa-niter-4").expect("listed");
    let chosen = scheme.chosen(chosen.iter().map(|(name, value)| (scheme.name, *name, *value))).expect("allowed");
    Run { scheme, chosen, seed, learning_rate: 0.0, settings }
}

/// The largest singular value.
fn norm(m: MatRef<'_, f64>) -> f64 {
    svd(m).expect("finite").s[0]
}

/// The largest angles, as tangents, by which f32 can turn the range that is found for M: of its columns, then of its rows.
///
/// With X orthonormal, X̂ = X + X⊥ Δ of tangent δ = ‖Δ‖, and Y = M X = Q R, a product gives Ŷ = Y + F with F = M X⊥ Δ + E and, by the error bound of
/// a sum, |E| ≤ (n + 2) ε |M| |X| for n terms and the rounding of X. Gram–Schmidt on k columns gives the span of Ŷ but for the rounding of two
/// subtractions of at most k terms and a quotient, which is at most ((k + 2) (1 + √k) + 3) ε ‖Y‖ and belongs to E, too. The part of Ŷ outside of Q is
/// (I − Q Qᵀ) F, the part inside is R + Qᵀ F, so that the next tangent is at most (‖(I − Q Qᵀ) M X⊥‖ δ + ‖E‖) / (σ_min(R) − ‖M X⊥‖ δ − ‖E‖). These
/// norms account for a spectrum of M that is flat or steep.
fn turned(m: MatRef<'_, f64>, columns: usize, iterations: usize, stream: &Stream) -> [f64; 2] {
    let off = |x: &Mat<f64>| Mat::<f64>::identity(x.nrows(), x.nrows()) - x * x.transpose();
    let size = |m: MatRef<'_, f64>| Mat::from_fn(m.nrows(), m.ncols(), |i, j| m[(i, j)].abs());
    let mut x = normal_matrix(stream, m.ncols(), columns);
    let (mut tangents, mut drawn) = ([0.0; 2], true);
    for step in 0..2 * (iterations + 1) {
        let m = if step % 2 == 0 { m } else { m.transpose() };
        let y = m * &x;
        let Qr { q, r } = thin_qr(y.as_ref());
        let of_product = (m.ncols() + 2) as f64 * (size(m) * size(x.as_ref())).norm_l2();
        let k = columns as f64;
        let of_columns = ((k + 2.0) * (1.0 + k.sqrt()) + 3.0) * y.norm_l2();
        let error = f64::from(f32::EPSILON) * (of_product + of_columns);
        let before = tangents[(step + 1) % 2];
        let (outside, whole) =
            if drawn { (0.0, 0.0) } else { (norm((off(&q) * m * off(&x)).as_ref()), norm((m * off(&x)).as_ref())) };
        let error = error * (1.0 + before);
        let left = svd(r.as_ref()).expect("finite").s[columns - 1] - whole * before - error;
        tangents[step % 2] = if left > 0.0 { (outside * before + error) / left } else { f64::INFINITY };
        (x, drawn) = (q, false);
    }
    tangents
}

/// The projector on some columns.
fn projector(columns: MatRef<'_, f64>) -> Mat<f64> {
    let q = thin_qr(columns).q;
    &q * q.transpose()
}

/// The largest singular value of a symmetric difference.
fn apart(one: &Mat<f64>, other: &Mat<f64>) -> f64 {
    let values = symmetric_eigen((one - other).as_ref()).expect("finite").values;
    values.into_iter().fold(0.0, |most, value| value.abs().max(most))
}

fn begin(tensor: Tensor, rank: usize, run: &Run, make_device: MakeDevice<'_>) -> Initial {
    let [outputs, inputs] = tensor.shape;
    let mut tape = Tape::new(Shape { runs: 1, sequences: 1, tokens: 1 }, true);
    let x = tape.features(inputs);
    let y = tape.lora_linear(x, Weight::Frozen(0), None, outputs, rank, "layer");
    tape.mse(y);
    let plan = tape.compile(Purpose::Train(Optimizer::SignSgd));
    let base = Base { model: config(1, 1, true).into(), tensors: [tensor].into() };
    let adapters = Adapters::new(rank, vec!["layer".to_owned()]);
    Initial::clone(&start(&base, &adapters, run, &plan, make_device).expect("a start"))
}

#[test]
fn a_device_finds_what_exact_products_do() {
    on_each_device(|make_device| {
        for ((outputs, inputs, rank), fall) in SHAPES.into_iter().flat_map(|shape| FALLS.map(|fall| (shape, fall))) {
            for ((precision, convert), iterations) in
                PRECISIONS.into_iter().flat_map(|stored| [0, 4].map(|n| (stored, n)))
            {
                let mut elements = vec![0.0; outputs * inputs];
                Stream::new(4, "w").normal(0.1, &mut elements);
                elements.iter_mut().enumerate().for_each(|(i, x)| *x *= fall.powi((i % inputs) as i32));
                let data = convert(elements);
                let w = from_rows(&data.to_f32(), outputs, inputs);
                let tensor = Tensor { name: "layer.weight".to_owned(), shape: [outputs, inputs], data };
                let begun = begin(tensor, rank, &run(SEED, &[("niter", iterations as f64)]), make_device);
                let (a, b) = begun.trained().split_at(rank * inputs);
                let (a, b) = (from_rows(a, rank, inputs), from_rows(b, outputs, rank));

                let stream = Stream::new(SEED, "layer.sketch");
                let exact = randomised_svd(&w.as_ref(), rank, iterations, &stream).expect("finite");
                let scaled = Mat::from_fn(outputs, rank, |i, k| exact.u[(i, k)] * exact.s[k]);
                let product = scaled * exact.v.transpose();
                let [columns, rows] = turned(w.as_ref(), rank, iterations, &stream);
                // Factors are rounded once more. The columns that the device found are orthonormal to the rounding of a product with those before them.
                let rounded = 2.0 * rank as f64 * f64::from(f32::EPSILON);
                let skewed = (rank * (outputs + 2)) as f64 * f64::from(f32::EPSILON);
                let what =
                    format!("{outputs} × {inputs}, rank {rank}, fall {fall}, {precision}, {iterations} iterations");
                for (name, found, allowed) in [
                    ("B", apart(&projector(b.as_ref()), &projector(exact.u.as_ref())), columns + rounded),
                    ("A", apart(&projector(a.transpose()), &projector(exact.v.as_ref())), rows + rounded),
                    (
                        "B A",
                        norm((Scale(SCALE) * (&b * &a) - &product).as_ref()) / norm(w.as_ref()),
                        columns + rows + skewed + rounded,
                    ),
                ] {
                    println!("{what}: {name} {found:e} of {allowed:e}");
                    assert!(found <= allowed, "{what}: {name} is {found:e} off, {allowed:e} may be");
                }
            }
        }
    });
}

/// Of a weight of a lower rank than is asked for the product is the weight, and what the sketch has beyond is zero or its rounding; of none it is none.
#[test]
fn a_weight_of_low_rank_is_found_whole() {
    let (outputs, inputs, rank) = (67, 131, 8);
    on_each_device(|make_device| {
        for own in [0, 1, 3] {
            let drawn = |name: &str, rows: usize| normal_matrix(&Stream::new(5, name), rows, own);
            let w = drawn("left", outputs) * drawn("right", inputs).transpose();
            let tensor = Tensor {
                name: "layer.weight".to_owned(),
                shape: [outputs, inputs],
                data: Data::F32(to_rows(w.as_ref()).into()),
            };
            let begun = begin(tensor, rank, &run(SEED, &[]), make_device);
            let (a, b) = begun.trained().split_at(rank * inputs);
            let (a, b) = (from_rows(a, rank, inputs), from_rows(b, outputs, rank));
            if own == 0 {
                assert!(a.norm_max() == 0.0 && b.norm_max() == 0.0);
                continue;
            }
            let off = norm((Scale(SCALE) * (&b * &a) - &w).as_ref()) / norm(w.as_ref());
            let allowed = (outputs + inputs + rank) as f64 * f64::from(f32::EPSILON);
            assert!(off <= allowed, "rank {own}: {off:e} off, {allowed:e} may be");
            let unwanted = norm(b.subcols(own, rank - own)) * norm(a.subrows(own, rank - own)) / norm(w.as_ref());
            assert!(unwanted <= allowed, "rank {own}: {unwanted:e} beyond it");
        }
    });
}

/// Seeds, options and other schemes beside a run change no bit of its start.
#[test]
fn runs_that_begin_together_begin_as_they_do_alone() {
    let base = base(&config(2, 1, true));
    let adapters = Adapters::new(3, MODULES.iter().map(ToString::to_string).collect());
    let mut tape = Tape::new(SHAPE, true);
    base.model.record(&mut tape, Training::Adapters(&base, &adapters));
    let plan: Plan = tape.compile(Purpose::Train(Optimizer::SignSgd));
    let init_a = Run { scheme: find("init-a").expect("listed"), ..run(1, &[]) };
    let runs = [run(1, &[]), init_a, run(2, &[]), run(1, &[("niter", 1.0)]), run(1, &[])];
    on_each_device(|make_device| {
        let calibration = Calibration {
            setup: Setup {
                base: &base,
                adapters: &adapters,
                sequences: SHAPE.sequences,
                tokens: SHAPE.tokens,
                optimizer: Optimizer::SignSgd,
                preconditioner: None,
            },
            steps: 1,
            train: &Dataset::Text(vec![]),
            make_device,
        };
        let together = wait(calibration.starts(&runs, &plan)).expect("a device that works");
        let of = |index: usize| together[index].as_ref().expect("a start").initial.numbers();
        for (index, run) in runs.iter().enumerate() {
            assert_eq!(of(index), start(&base, &adapters, run, &plan, make_device).expect("a start").numbers());
        }
        assert!(of(0) == of(4) && of(0) != of(2) && of(0) != of(3));
    });
}
