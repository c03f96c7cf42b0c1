//! Starts that are made from data: what the moments and the sketched gradients give, held to the layers' inputs and gradients as other kernels give them.

use std::sync::Arc;

use loralab_core::{
    device::{Cpu, Device, Gpu, Inputs, MakeDevice, RunSettings, wait},
    graph::{
        plan::{Optimizer, Plan, Shape},
        tape::{Purpose, Tape},
    },
    lab::{
        calibrate::{Calibration, CalibrationError, Setup},
        train::{Initial, Run},
    },
    lora::init::{Layer, StartError, find},
    models::{Adapters, Base, Training, llama::MODULES},
};
use loralab_data::{Batch, Dataset, Example, Sampler};
use loralab_linalg::{Draws, Stream, normal_matrix};

use super::SHAPE;
use super::weights::{Matrix, triplets};
use crate::gpu::web_base;
use crate::small::{base, config};

const SETTINGS: RunSettings =
    RunSettings { scale: 2.0, learning_rate_ratio: 1.0, weight_decay: 0.0, max_grad_norm: 0.0 };
const RANK: usize = 2;
const STEPS: usize = 20;
/// f32 sums against f64.
const ROUNDING: f64 = 2e-5;

/// A processor, one thread of it.
pub fn cpu(
    plan: Arc<Plan>,
    base: Arc<[loralab_core::graph::memory::Tensor]>,
) -> loralab_core::device::Answer<'static, Box<dyn Device>> {
    Box::pin(async { Ok(Box::new(Cpu::<f32>::new(plan, base, Some(1))) as Box<dyn Device>) })
}

/// A text over the alphabet of the small bases.
fn text(length: usize) -> Dataset {
    let mut draws = Draws::new(3, "text");
    Dataset::Text((0..length).map(|_| draws.below(11)).collect())
}

/// The start of a run, from a text.
pub fn start(
    base: &Base,
    adapters: &Adapters,
    run: &Run,
    plan: &Plan,
    make_device: MakeDevice<'_>,
) -> Result<Arc<Initial>, CalibrationError> {
    on(&text(400), SHAPE, base, adapters, run, plan, make_device)
}

pub fn on(
    train: &Dataset,
    Shape { sequences, tokens, .. }: Shape,
    base: &Base,
    adapters: &Adapters,
    run: &Run,
    plan: &Plan,
    make_device: MakeDevice<'_>,
) -> Result<Arc<Initial>, CalibrationError> {
    let optimizer = Optimizer::Sgd { momentum: 0.0 };
    let calibration = Calibration {
        setup: Setup { base, adapters, sequences, tokens, optimizer, preconditioner: None },
        steps: STEPS,
        train,
        make_device,
    };
    let begun = wait(calibration.starts(std::slice::from_ref(run), plan))?;
    Ok(begun[0].clone()?.initial.clone())
}

fn plan(base: &Base, adapters: &Adapters, frozen_pairs: bool) -> Plan {
    let mut tape = Tape::new(SHAPE, frozen_pairs);
    base.model.record(&mut tape, Training::Adapters(base, adapters));
    tape.compile(Purpose::Train(Optimizer::SignSgd))
}

/// A layer as it began, with its weight, the rows that went into it, and the mean gradient of its weight.
struct Begun {
    name: String,
    rank: usize,
    a: Matrix,
    b: Matrix,
    w: Matrix,
    inputs: Matrix,
    /// The token that is to be predicted in each of those rows.
    labels: Vec<u32>,
    gradient: Matrix,
}

impl Begun {
    /// s·B·A
    fn product(&self) -> Matrix {
        let zero = Matrix::new(self.w.rows, self.w.columns, |_, _| 0.0);
        zero.plus(SETTINGS.scale, &self.b.times(&self.a))
    }

    /// E[x xᵀ]
    fn second(inputs: &Matrix) -> Matrix {
        let sum = inputs.t().times(inputs);
        Matrix::new(sum.rows, sum.columns, |i, j| sum.get(i, j) / inputs.rows as f64)
    }
}

/// The inputs without their mean.
fn centred(inputs: &Matrix) -> Matrix {
    let mean = |j: usize| (0..inputs.rows).map(|i| inputs.get(i, j)).sum::<f64>() / inputs.rows as f64;
    let means: Vec<f64> = (0..inputs.columns).map(mean).collect();
    Matrix::new(inputs.rows, inputs.columns, |i, j| inputs.get(i, j) - means[j])
}

/// Every layer of a small base as a scheme begins it on a device, with what f64 says of the same batches by other kernels: the inputs are the LoRA
/// features of an A that is the identity, the gradients those of a model whose weights are all trained.
fn each(scheme: &str, make_device: MakeDevice<'_>, look: impl Fn(&Begun)) -> Vec<usize> {
    let scheme = find(scheme).expect("listed");
    let base = base(&config(2, 1, true));
    let adapters = Adapters::new(RANK, MODULES.iter().map(ToString::to_string).collect());
    let wide = Adapters { rank: RANK * scheme.rule.spread(), ..adapters.clone() };
    let plan = plan(&base, &wide, scheme.frozen_pair);
    let run = Run { scheme, chosen: Default::default(), seed: 1, learning_rate: 1e-2, settings: SETTINGS };
    let initial = start(&base, &adapters, &run, &plan, make_device).expect("a start");
    assert_eq!(initial.frozen_pairs(), if scheme.frozen_pair { initial.trained() } else { &[] });

    let text = text(400);
    let mut sampler = Sampler::new(&text, 1, SHAPE.sequences, SHAPE.tokens).expect("it fits");
    let batches: Vec<Batch> = (0..8).map(|step| sampler.batch(step)).collect();
    let (inputs, gradients) = (inputs(&base, &batches), gradients(&base, &batches));
    let rows = batches.iter().flat_map(|batch| batch.targets.iter().zip(&batch.weights));
    let labels: Vec<u32> = rows.filter(|(_, weight)| **weight != 0.0).map(|(target, _)| *target).collect();
    for (index, site) in plan.sites.iter().enumerate() {
        let (room, width, outputs) = (site.rank, site.inputs, site.outputs);
        let [a, b] = site.factors().map(|factor| &initial.trained()[factor.range()]);
        let name = site.module.clone();
        let weight = base.tensors.iter().find(|tensor| tensor.name == format!("{name}.weight")).expect("it is there");
        let weight = weight.data.to_f32();
        look(&Begun {
            rank: initial.ranks[index],
            a: Matrix::new(room, width, |i, j| f64::from(a[i * width + j])),
            b: Matrix::new(outputs, room, |i, j| f64::from(b[i * room + j])),
            w: Matrix::new(outputs, width, |i, j| f64::from(weight[i * width + j])),
            inputs: inputs[index].clone(),
            labels: labels.clone(),
            gradient: gradients.iter().find(|(of, _)| *of == name).expect("every weight has one").1.clone(),
            name,
        });
    }
    initial.ranks.clone()
}

/// The rows that go into every adapted layer and count.
fn inputs(base: &Base, batches: &[Batch]) -> Vec<Matrix> {
    let widest = base.model.linears().iter().map(|linear| linear.inputs).max().expect("it has linear maps");
    let adapters = Adapters::new(widest, MODULES.iter().map(ToString::to_string).collect());
    let plan = plan(base, &adapters, false);
    let mut values = vec![0.0; plan.trained_len()];
    for site in &plan.sites {
        (0..site.inputs).for_each(|i| values[site.a.offset + i * site.inputs + i] = 1.0);
    }
    let widths: Vec<usize> = plan.sites.iter().map(|site| site.inputs).collect();
    let mut device = Cpu::<f64>::new(Arc::new(plan), base.tensors.clone(), Some(1));
    device.load(0, &values, &[], SETTINGS);
    let mut rows: Vec<Vec<f32>> = vec![vec![]; widths.len()];
    for batch in batches {
        let probe = device.probe(&[Inputs::from(batch)]).remove(0);
        for (layer, features) in probe.observed.iter().enumerate() {
            for (row, weight) in features.chunks_exact(widest).zip(&batch.weights) {
                if *weight != 0.0 {
                    rows[layer].extend(&row[..widths[layer]]);
                }
            }
        }
    }
    let matrix = |(rows, width): (Vec<f32>, usize)| {
        Matrix::new(rows.len() / width, width, |i, j| f64::from(rows[i * width + j]))
    };
    rows.into_iter().zip(widths).map(matrix).collect()
}

/// The mean gradient of every weight.
fn gradients(base: &Base, batches: &[Batch]) -> Vec<(String, Matrix)> {
    let mut tape = Tape::new(SHAPE, false);
    base.model.record(&mut tape, Training::Everything);
    let plan = Arc::new(tape.compile(Purpose::Train(Optimizer::SignSgd)));
    let values: Vec<f32> = plan
        .parameters
        .iter()
        .flat_map(|parameter| {
            base.tensors
                .iter()
                .find(|tensor| tensor.name == parameter.name)
                .expect("it is there")
                .data
                .to_f32()
                .into_owned()
        })
        .collect();
    let mut device = Cpu::<f64>::new(plan.clone(), Arc::from([]), Some(1));
    device.load(0, &values, &[], SETTINGS);
    let mut sums = vec![0.0; values.len()];
    for batch in batches {
        let (_, gradient) = device.gradient(0, Inputs::from(batch));
        sums.iter_mut().zip(gradient).for_each(|(sum, x)| *sum += x / batches.len() as f64);
    }
    let of = |parameter: &loralab_core::graph::memory::Parameter| {
        let [rows, columns] = parameter.shape;
        let values = &sums[parameter.span.range()];
        (
            parameter.name.trim_end_matches(".weight").to_owned(),
            Matrix::new(rows, columns, |i, j| values[i * columns + j]),
        )
    };
    plan.parameters.iter().map(of).collect()
}

/// The projector on the first `count` right singular vectors.
fn reads(m: &Matrix, count: usize) -> Matrix {
    let v = m.svd().2.columns(0..count);
    v.times(&v.t())
}

/// The devices that a start is made on.
pub fn on_each_device(test: impl Fn(MakeDevice<'_>)) {
    test(&cpu);
    let accelerator = web_base();
    let gpu = |plan, base| -> loralab_core::device::Answer<'_, Box<dyn Device>> {
        let accelerator = accelerator.clone();
        Box::pin(async move { Ok(Box::new(Gpu::new(accelerator, plan, base).await?) as Box<dyn Device>) })
    };
    test(&gpu);
}

#[test]
fn eva_reads_what_varies_and_gives_rank_where_it_explains_most() {
    // Widely apart directions settle within the batches that this test sees; those of the small base do not, so its own convergence is not tested here.
    on_each_device(|make_device| {
        let ranks = each("eva", make_device, |begun| {
            let Begun { name, rank, a, b, .. } = begun;
            assert!(b.norm() == 0.0, "{name}");
            let used = a.t().columns(0..*rank);
            let identity = Matrix::new(*rank, *rank, |i, j| f64::from(u8::from(i == j)));
            assert!(used.t().times(&used).distance(&identity) < 1e-6, "{name}");
            assert!(a.t().columns(*rank..a.rows).norm() == 0.0, "{name}");
        });
        assert_eq!(ranks.iter().sum::<usize>(), RANK * ranks.len());
        assert!(ranks.iter().any(|rank| *rank != RANK) && ranks.iter().all(|rank| *rank <= 2 * RANK), "{ranks:?}");
    });
}

/// The rows of prompts and of what fills a sequence up are left out. So low a cosine settles the start with the second batch.
#[test]
fn eva_reads_the_rows_that_count() {
    let mut draws = Draws::new(5, "examples");
    let mut tokens = |count: u64| (0..count).map(|_| draws.below(11)).collect();
    let examples = (0..12).map(|_| Example { prompt: tokens(2), completion: tokens(2) }).collect();
    let data = Dataset::Examples(examples);
    let base = base(&config(2, 1, true));
    let adapters = Adapters::new(RANK, MODULES.iter().map(ToString::to_string).collect());
    let plan = plan(&base, &adapters, false);
    let scheme = find("eva").expect("listed");
    let chosen = scheme.chosen([("eva", "rho", 1.0), ("eva", "tau", 1e-6)]).expect("allowed");
    let run = Run { scheme, chosen, seed: 1, learning_rate: 1e-2, settings: SETTINGS };
    let mut sampler = Sampler::new(&data, 1, SHAPE.sequences, SHAPE.tokens).expect("it fits");
    let batches = [sampler.batch(0), sampler.batch(1)];
    assert!(batches.iter().any(|batch| batch.counted < batch.weights.len()));
    let inputs = inputs(&base, &batches);
    on_each_device(|make_device| {
        let begun = on(&data, SHAPE, &base, &adapters, &run, &plan, make_device).expect("a start");
        for (site, inputs) in plan.sites.iter().zip(&inputs) {
            let (width, values) = (site.inputs, &begun.trained()[site.a.range()]);
            let a = Matrix::new(RANK, width, |i, j| f64::from(values[i * width + j]));
            assert!(a.t().times(&a).distance(&reads(&centred(inputs), RANK)) < 1e3 * ROUNDING);
        }
    });
}

#[test]
fn sylvester_with_the_principal_code_is_the_principal_directions() {
    on_each_device(|make_device| {
        each("sylvester-pca", make_device, |begun| {
            let Begun { name, a, b, inputs, .. } = begun;
            assert!(b.norm() == 0.0, "{name}");
            assert!(a.t().times(a).distance(&reads(inputs, RANK)) < 1e3 * ROUNDING, "{name}");
        });
    });
}

/// (S Sᵀ) A + A X Xᵀ = 2 S Xᵀ, with S the labels' centred codes, of the power that the first principal components have.
#[test]
fn sylvester_with_a_code_of_labels_solves_its_equation() {
    on_each_device(|make_device| {
        each("sylvester-labels", make_device, |begun| {
            let Begun { name, a, b, inputs, labels, .. } = begun;
            assert!(b.norm() == 0.0, "{name}");
            assert_eq!(labels.len(), inputs.rows);
            let drawn = normal_matrix(&Stream::new(1, "labels.code"), 11, RANK);
            let code = Matrix::new(labels.len(), RANK, |row, k| drawn[(labels[row] as usize, k)]);
            let mean = |k: usize| (0..code.rows).map(|row| code.get(row, k)).sum::<f64>() / code.rows as f64;
            let means: Vec<f64> = (0..RANK).map(mean).collect();
            let code = Matrix::new(code.rows, RANK, |row, k| code.get(row, k) - means[k]);
            let principal: f64 = inputs.svd().1[..RANK].iter().map(|s| s * s).sum();
            let size = principal.sqrt() / code.norm();
            let code = Matrix::new(code.rows, RANK, |row, k| size * code.get(row, k));
            let (own, second, cross) = (code.t().times(&code), inputs.t().times(inputs), code.t().times(inputs));
            let left = own.times(a).plus(1.0, &a.times(&second));
            assert!(left.plus(-2.0, &cross).norm() < 10.0 * ROUNDING * left.norm(), "{name}");
            // It is not the principal directions under another name.
            assert!(a.t().times(a).distance(&reads(inputs, RANK)) > 0.1, "{name}");
        });
    });
}

/// s B A = P W, with P on the left singular vectors of W C of the largest or the smallest values; together, at full rank, W.
#[test]
fn corda_decomposes_the_weight_as_its_inputs_see_it() {
    on_each_device(|make_device| {
        for (scheme, first) in [("corda-ipm", true), ("corda-kpm", false)] {
            each(scheme, make_device, |begun| {
                let Begun { name, w, inputs, .. } = begun;
                let second = Begun::second(inputs);
                let mean = (0..second.rows).map(|i| second.get(i, i)).sum::<f64>() / second.rows as f64;
                let damped = Matrix::new(second.rows, second.rows, |i, j| {
                    second.get(i, j) / mean + if i == j { 0.01 } else { 0.0 }
                });
                let (u, s, _) = w.times(&damped).svd();
                let u = if first { u.columns(0..RANK) } else { u.columns(s.len() - RANK..s.len()) };
                let expected = u.times(&u.t()).times(w);
                // The smallest values differ little from one another, so the directions are determined less well.
                let allowed = if first { 100.0 } else { 1000.0 } * ROUNDING;
                assert!(begun.product().distance(&expected) < allowed * w.norm(), "{scheme} {name}");
            });
        }
    });
}

#[test]
fn activation_shift_is_the_best_approximation_of_whitening() {
    on_each_device(|make_device| {
        let ranks = each("activation-shift", make_device, |begun| {
            let Begun { name, rank, w, .. } = begun;
            let covariance = Begun::second(&centred(&begun.inputs));
            let n = covariance.rows;
            let unit = n as f64 / (0..n).map(|i| covariance.get(i, i)).sum::<f64>();
            let (u, s, _) = covariance.svd();
            let stretch = |k: usize| (s[k] * unit + 0.01).sqrt().recip() - 1.0;
            let change = w.times(&Matrix::new(n, n, |i, k| u.get(i, k) * stretch(k)).times(&u.t()));
            let expected = triplets(&change.svd(), 0..*rank);
            assert!(begun.product().distance(&expected) < 1000.0 * ROUNDING * change.norm(), "{name}");
        });
        assert_eq!(ranks.iter().sum::<usize>(), RANK * ranks.len());
    });
}

#[test]
fn lora_one_is_a_step_down_the_gradient() {
    on_each_device(|make_device| {
        each("lora-one", make_device, |begun| {
            let Begun { name, gradient, .. } = begun;
            let exact = gradient.svd();
            let best = triplets(&exact, 0..RANK);
            let step = SETTINGS.scale / 128.0 / exact.1[0];
            let expected = Matrix::new(best.rows, best.columns, |i, j| -step * best.get(i, j));
            assert!(begun.product().distance(&expected) < 100.0 * ROUNDING * expected.norm(), "{name}");
            let largest = begun.product().svd().1[0];
            assert!((largest * 128.0 / SETTINGS.scale - 1.0).abs() < 1e-5, "{name}: {largest}");
            let downhill: f64 = (0..gradient.rows)
                .flat_map(|i| (0..gradient.columns).map(move |j| (i, j)))
                .map(|(i, j)| gradient.get(i, j) * begun.product().get(i, j))
                .sum();
            assert!(downhill < 0.0, "{name}");
        });
    });
}

/// G Aᵀ A + B Bᵀ G, the first step's change of weight in units of −η s², is √m/γ times the best approximation of G by rank 2R.
#[test]
fn lora_gas_first_step_is_the_best_of_twice_its_rank() {
    on_each_device(|make_device| {
        each("lora-ga", make_device, |begun| {
            let Begun { name, a, b, gradient, .. } = begun;
            let change = gradient.times(&a.t().times(a)).plus(1.0, &b.times(&b.t()).times(gradient));
            let best = triplets(&gradient.svd(), 0..2 * RANK);
            let size = (gradient.rows as f64).sqrt() / 16.0;
            let expected = Matrix::new(best.rows, best.columns, |i, j| size * best.get(i, j));
            assert!(change.distance(&expected) < 100.0 * ROUNDING * expected.norm(), "{name}");
        });
        each("lora-ga-peft", make_device, |begun| {
            let Begun { name, a, b, gradient, .. } = begun;
            let (u, s, _) = gradient.svd();
            assert!(a.t().times(a).distance(&reads(gradient, RANK)) < 100.0 * ROUNDING, "{name}");
            let size = (gradient.rows as f64).powf(0.25) / 4.0;
            let left = Matrix::new(gradient.rows, RANK, |i, k| size * s[RANK + k] * u.get(i, RANK + k));
            assert!(
                b.times(&b.t()).distance(&left.times(&left.t())) < 100.0 * ROUNDING * left.norm().powi(2),
                "{name}"
            );
        });
    });
}

/// After one plain step from B = 0 the preheated product is −η s² G Aᵀ A, a sketch of G's rows.
#[test]
fn a_preheat_of_one_step_reads_the_gradients_directions() {
    let scheme = find("hrp").expect("listed");
    let base = base(&config(1, 1, true));
    let adapters = Adapters::new(1, vec!["q_proj".to_owned(), "down_proj".to_owned()]);
    let plan = plan(&base, &adapters, false);
    let run = Run { scheme, chosen: Default::default(), seed: 1, learning_rate: 1e-2, settings: SETTINGS };
    let text = text(400);
    let batch = Sampler::new(&text, 1, SHAPE.sequences, SHAPE.tokens).expect("it fits").batch(0);
    let gradients = gradients(&base, &[batch]);
    on_each_device(|make_device| {
        let initial = start(&base, &adapters, &run, &plan, make_device).expect("a start");
        for site in &plan.sites {
            let (name, inputs, outputs) = (site.module.as_str(), site.inputs, site.outputs);
            let layer = Layer { name, inputs, outputs, rank: 8, scale: SETTINGS.scale as f32, chosen: &[] };
            let drawn = find("init-a").expect("listed").start(&layer, || None, 1).expect("it is drawn").a;
            let drawn = Matrix::new(8, inputs, |i, j| f64::from(drawn[i * inputs + j]));
            let (_, gradient) = gradients.iter().find(|(of, _)| of == name).expect("it is there");
            let sketch = gradient.times(&drawn.t().times(&drawn));
            let a = &initial.trained()[site.a.range()];
            let a = Matrix::new(1, inputs, |_, j| f64::from(a[j]));
            assert!(a.t().times(&a).distance(&reads(&sketch, 1)) < 100.0 * ROUNDING, "{name}");
            assert!((a.norm() - 1.0).abs() < 1e-6);
            assert!(initial.trained()[site.b.range()].iter().all(|x| *x == 0.0));
        }
    });
}

#[test]
fn data_that_say_nothing_are_refused() {
    let base = base(&config(1, 1, true));
    let adapters = Adapters::new(RANK, vec!["q_proj".to_owned()]);
    let begin = |name: &str, text: &[u32], rank: usize, sequences: usize, tokens: usize| {
        let scheme = find(name).expect("listed");
        let adapters = Adapters { rank, ..adapters.clone() };
        let wide = Adapters { rank: rank * scheme.rule.spread(), ..adapters.clone() };
        let plan = plan(&base, &wide, scheme.frozen_pair);
        let run = Run { scheme, chosen: Default::default(), seed: 1, learning_rate: 1e-2, settings: SETTINGS };
        let text = Dataset::Text(text.to_vec());
        let shape = Shape { runs: 1, sequences, tokens };
        match on(&text, shape, &base, &adapters, &run, &plan, &cpu) {
            Err(CalibrationError::Start(error)) => error,
            other => panic!("{name} begins with {other:?}"),
        }
    };
    for name in ["eva", "activation-shift"] {
        let error = begin(name, &[4; 100], RANK, 2, 5);
        assert!(matches!(error, StartError::NoVariance { .. }), "{error}");
        assert!(error.to_string().contains("all are alike"));
    }
    let error = begin("sylvester-labels", &[4; 100], RANK, 2, 5);
    assert!(matches!(error, StartError::OneLabel { .. }), "{error}");
    let varied: Vec<u32> = (0..100).map(|i| i * i % 11).collect();
    let error = begin("activation-shift", &varied, 8, 1, 1);
    assert!(matches!(error, StartError::FewRows { found: 8, needed: 16, .. }), "{error}");
    // Alone in its sequence, a token attends to itself whatever the query says.
    for name in ["lora-one", "lora-ga", "hrp"] {
        let error = begin(name, &varied, 1, 1, 1);
        assert!(matches!(error, StartError::NoGradient { .. }), "{error}");
        assert!(error.to_string().contains("it is zero"), "{error}");
    }
}

/// Two tokens in turn are two contexts of two tokens, and a token alone attends to itself whatever the query says: a gradient of rank 2 at most, of which more
/// triplets are asked for.
#[test]
fn a_gradient_of_a_low_rank_begins_with_what_it_has() {
    let base = base(&config(1, 1, true));
    let adapters = Adapters::new(3, vec!["q_proj".to_owned()]);
    let text = Dataset::Text([3, 7].repeat(50));
    let shape = Shape { runs: 1, sequences: 1, tokens: 2 };
    on_each_device(|make_device| {
        for name in ["lora-one", "lora-ga", "lora-ga-peft"] {
            let scheme = find(name).expect("listed");
            let plan = plan(&base, &adapters, scheme.frozen_pair);
            let run = Run { scheme, chosen: Default::default(), seed: 1, learning_rate: 1e-2, settings: SETTINGS };
            let begun = on(&text, shape, &base, &adapters, &run, &plan, make_device).expect("a start");
            for (factor, parameter) in ["A", "B"].into_iter().zip(&plan.parameters) {
                let values = &begun.trained()[parameter.span.range()];
                let size = values.iter().map(|x| f64::from(x * x)).sum::<f64>().sqrt();
                assert!(size.is_finite() && size > 0.0, "{name}: {factor} is {size}");
            }
        }
    });
}
