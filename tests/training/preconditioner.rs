//! Steps whose gradients are preconditioned.

use loralab_core::graph::memory::InputName;
use std::sync::Arc;

use loralab_core::{
    device::{Cpu, Device, Gpu, Inputs, RunSettings, wait},
    graph::{
        memory::{Data, Tensor, Weight},
        plan::{Optimizer, Plan, Preconditioner, Shape},
        tape::{Purpose, Tape},
    },
    lab::train::{Run, start},
    models::{Adapters, Training, llama::MODULES},
};
use loralab_linalg::Stream;

use super::{ADAMW, NANO, SEQUENCES, TOKENS, batches, run};

const BOTH: [Preconditioner; 2] = [Preconditioner::Riemannian, Preconditioner::NoraPlus];

/// Of ‖B A − M‖², what one step of B leaves, with M of the rank of A, B = 0 and A a sketch of M's rows or any rows at all.
fn left_after_one_step(preconditioner: Option<Preconditioner>, sketched: bool) -> f64 {
    const INPUTS: usize = 12;
    const OUTPUTS: usize = 9;
    const RANK: usize = 3;
    let mut tape = Tape::new(Shape { runs: 1, sequences: 1, tokens: INPUTS }, false);
    let x = tape.features(INPUTS);
    let y = tape.lora_linear(x, Weight::Frozen(0), None, OUTPUTS, RANK, "layer");
    tape.mse(y);
    tape.precondition(preconditioner);
    let plan = Arc::new(tape.compile(Purpose::Train(Optimizer::Sgd { momentum: 0.0 })));
    let draw = |name: &str, count: usize| {
        let mut values = vec![0.0_f32; count];
        Stream::new(5, name).normal(1.0, &mut values);
        values
    };
    let product = |left: &[f32], right: &[f32], inner: usize, columns: usize| -> Vec<f32> {
        let at = |i: usize, j: usize| (0..inner).map(|k| left[i * inner + k] * right[k * columns + j]).sum();
        (0..left.len() / inner).flat_map(|i| (0..columns).map(move |j| at(i, j))).collect()
    };
    let m = product(&draw("left", OUTPUTS * RANK), &draw("right", RANK * INPUTS), RANK, INPUTS);
    let a = match sketched {
        true => product(&draw("Ω", RANK * OUTPUTS), &m, OUTPUTS, INPUTS),
        false => draw("a", RANK * INPUTS),
    };
    // So large that the ε that is asked for is nothing beside A Aᵀ; it is raised to 2⁻²⁰ of its trace.
    let trained: Vec<f32> = a.iter().map(|x| 100.0 * x).chain([0.0; OUTPUTS * RANK]).collect();
    let zero = Tensor {
        name: "layer".to_owned(),
        shape: [OUTPUTS, INPUTS],
        data: Data::F32(vec![0.0; OUTPUTS * INPUTS].into()),
    };
    let mut device = Cpu::<f64>::new(plan, vec![zero].into(), Some(1));
    let settings = RunSettings { scale: 2.0, learning_rate_ratio: 1.0, weight_decay: 0.0, max_grad_norm: 0.0 };
    device.load(0, &trained, &[], settings);
    // Row i asks for column i of M.
    let features: Vec<f32> = (0..INPUTS * INPUTS).map(|at| f32::from(u8::from(at / INPUTS == at % INPUTS))).collect();
    let expected: Vec<f32> =
        (0..INPUTS).flat_map(|i| (0..OUTPUTS).map(|o| m[o * INPUTS + i]).collect::<Vec<_>>()).collect();
    let input = Inputs::new()
        .with(InputName::Features, &features)
        .with(InputName::Expected, &expected)
        .with(InputName::Weights, &[0.25_f32; INPUTS][..]);
    let before = device.loss(0, input);
    // 2 · weight · s² · rate = 1.
    device.step(&[input], &[0.5]);
    device.loss(0, input) / before
}

/// ScaledGD on an asymmetric factorisation of exact rank, from Nyström's start: one step is enough (NoRA, arXiv 2410.18965).
#[test]
fn one_step_from_a_sketch_is_enough() {
    let left = left_after_one_step(Some(Preconditioner::Riemannian), true);
    // The loss that is left is (ε / λ)² of the loss before, λ the least eigenvalue of A Aᵀ: with ε at 2⁻²⁰ of the trace, 10⁻¹² (trace / λ)².
    assert!(left < 1e-8, "{left}");
    // If A's rows are arbitrary, the part of M that they do not span is left.
    assert!((0.3..1.0).contains(&left_after_one_step(Some(Preconditioner::Riemannian), false)));
    // Without a preconditioner the same rate is far too large.
    assert!(left_after_one_step(None, true) > 1.0);
}

/// Makes a device for a plan.
type Make = dyn Fn(Arc<Plan>) -> Box<dyn Device>;

fn plan(runs: usize, preconditioner: Option<Preconditioner>) -> Plan {
    let adapters = Adapters::new(8, MODULES.map(str::to_owned).into());
    let mut tape = Tape::new(Shape { runs, sequences: SEQUENCES, tokens: TOKENS }, false);
    NANO.model.record(&mut tape, Training::Adapters(&NANO, &adapters));
    tape.precondition(preconditioner);
    tape.compile(Purpose::Train(ADAMW))
}

/// Losses and adapters of runs after a few steps.
fn trained(runs: &[Run], preconditioner: Option<Preconditioner>, make: &Make) -> Vec<(Vec<f64>, Vec<f32>)> {
    let plan = Arc::new(plan(runs.len(), preconditioner));
    let mut device = make(plan.clone());
    for (index, run) in runs.iter().enumerate() {
        let initial = start(&plan, &NANO.tensors, run).expect("a start");
        initial.put(&mut *device, index, run.settings);
    }
    let mut losses = vec![vec![]; runs.len()];
    let rates: Vec<f64> = runs.iter().map(|run| run.learning_rate).collect();
    for step in 0..6 {
        let of_run: Vec<_> = runs.iter().map(|run| batches(run.seed, 6).swap_remove(step)).collect();
        let inputs: Vec<Inputs<'_>> = of_run.iter().map(Inputs::from).collect();
        device.step(&inputs, &rates);
        let reports = wait(device.reports()).expect("the device does not fail").swap_remove(0);
        for (losses, report) in losses.iter_mut().zip(reports) {
            losses.push(report.expect("it takes part").loss);
        }
    }
    losses.into_iter().zip(wait(device.trained()).expect("the device does not fail")).collect()
}

fn cpu(threads: usize) -> Box<Make> {
    Box::new(move |plan| Box::new(Cpu::<f32>::new(plan, NANO.tensors.clone(), Some(threads))))
}

fn gpu() -> Box<Make> {
    let accelerator = crate::gpu::native();
    Box::new(move |plan| {
        Box::new(wait(Gpu::new(accelerator.clone(), plan, NANO.tensors.clone())).expect("nano runs on every GPU"))
    })
}

#[test]
fn preconditioned_runs_do_not_depend_on_their_cohort() {
    let runs = [run("init-a", 0, 1e-3), run("init-b", 1, 2e-3), run("init-ab", 0, 1e-3), run("mica", 2, 4e-3)];
    for [of_cohort, of_one] in [[cpu(2), cpu(1)], [gpu(), gpu()]] {
        let plain = trained(&runs, None, &of_cohort);
        for preconditioner in BOTH {
            let together = trained(&runs, Some(preconditioner), &of_cohort);
            for (index, together) in together.iter().enumerate() {
                let alone = trained(&runs[index..=index], Some(preconditioner), &of_one).swap_remove(0);
                assert!(*together == alone, "{preconditioner:?}: run {index} depends on its cohort");
                assert!(together.1.iter().all(|x| x.is_finite()) && together.1 != plain[index].1, "{index}");
            }
        }
    }
}

#[test]
fn preconditioned_losses_on_a_gpu_are_those_of_the_cpu() {
    let runs = [run("init-a", 0, 1e-3), run("init-ab", 1, 1e-3)];
    for preconditioner in BOTH {
        let [on_gpu, on_cpu] = [gpu(), cpu(2)].map(|make| trained(&runs, Some(preconditioner), &make));
        for ((found, _), (expected, _)) in on_gpu.iter().zip(&on_cpu) {
            for (found, expected) in found.iter().zip(expected) {
                assert!((found / expected - 1.0).abs() < 1e-3, "{preconditioner:?}: {found} {expected}");
            }
        }
    }
}
