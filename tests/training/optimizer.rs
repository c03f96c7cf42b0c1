use std::sync::Arc;

use loralab_core::graph::memory::InputName;
use loralab_core::{
    device::{Cpu, Device, Gpu, Inputs, RunSettings, wait},
    graph::{
        memory::{Data, Group, Tensor, Weight},
        plan::{Optimizer, Plan, Shape},
        tape::{Purpose, Tape},
    },
    lab::train::{Run, start},
    lora::init,
};
use loralab_linalg::Stream;

use super::{ADAMW, NANO, SETTINGS, batches, plan, run};
use crate::gpu;

const RATE: f64 = 0.01;

/// One step with `optimizer`: the plan, the trained elements before, the gradient, and the trained elements after.
fn first_step(optimizer: Optimizer, settings: RunSettings) -> (Plan, Vec<f32>, Vec<f32>, Vec<f32>) {
    let plan = plan(1, false, Purpose::Train(optimizer));
    // Both factors are random, so that no gradient is zero.
    let (before, _) =
        start(&plan, &[], &Run { settings, ..run("init-ab", 0, RATE) }).expect("it needs no weights").numbers();
    let mut device = Cpu::<f32>::new(Arc::new(plan.clone()), NANO.tensors.clone(), Some(1));
    device.load(0, &before, &[], settings);
    let batch = &batches(0, 1)[0];
    let (_, gradient) = device.gradient(0, Inputs::from(batch));
    device.step(&[Inputs::from(batch)], &[RATE]);
    let after = device.trained(0);
    (plan, before, gradient, after)
}

/// Asserts that every element went where `step` says, within `tolerance` of the step's own size; `step` is told the learning rate of its group.
fn assert_steps(optimizer: Optimizer, settings: RunSettings, tolerance: f64, step: impl Fn(f64, f64, f64, f64) -> f64) {
    let (plan, before, gradient, after) = first_step(optimizer, settings);
    let norm = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
    for parameter in &plan.parameters {
        let rate = RATE * if parameter.group == Group::B { settings.learning_rate_ratio } else { 1.0 };
        for index in parameter.span.range() {
            let (p, g) = (f64::from(before[index]), f64::from(gradient[index]));
            let (expected, found) = (step(rate, norm, p, g), f64::from(after[index]));
            let error = (found - expected).abs();
            // One rounding of p itself, and a few of the step.
            let allowed = tolerance * (expected - p).abs() + f64::from(f32::EPSILON) * p.abs();
            assert!(error <= allowed, "{}: {p} went to {found}, not {expected}", parameter.name);
        }
    }
}

#[test]
fn sgd_follows_its_gradient() {
    let settings = RunSettings { weight_decay: 0.1, max_grad_norm: 0.0, learning_rate_ratio: 4.0, ..SETTINGS };
    assert_steps(Optimizer::Sgd { momentum: 0.9 }, settings, 1e-5, |rate, _, p, g| p - rate * (g + 0.1 * p));
}

#[test]
fn sgd_is_clipped_to_the_global_norm() {
    let settings = RunSettings { weight_decay: 0.0, max_grad_norm: 0.25, ..SETTINGS };
    assert_steps(Optimizer::Sgd { momentum: 0.0 }, settings, 1e-5, |rate, norm, p, g| {
        assert!(norm > 0.25, "the test needs a gradient that has to be clipped; its norm is {norm}");
        p - rate * g * 0.25 / (norm + 1e-6)
    });
}

#[test]
fn signsgd_goes_one_rate_along_each_sign() {
    let settings = RunSettings { weight_decay: 0.1, learning_rate_ratio: 0.5, ..SETTINGS };
    assert_steps(Optimizer::SignSgd, settings, 1e-5, |rate, _, p, g| p * (1.0 - rate * 0.1) - rate * g.signum());
}

#[test]
fn adamw_begins_with_nearly_a_sign() {
    let settings = RunSettings { weight_decay: 0.1, max_grad_norm: 0.0, learning_rate_ratio: 2.0, ..SETTINGS };
    // m̂ = g and √v̂ = |g| after one step.
    assert_steps(ADAMW, settings, 1e-4, |rate, _, p, g| p * (1.0 - rate * 0.1) - rate * g / (g.abs() + 1e-8));
}

/// γλ = 10⁻⁶ is 16.8 of the units in which `f32` counts below 1: a factor of 1 − γλ would take 1.3 % too much from every number at every step.
#[test]
fn a_weight_decay_that_is_small_beside_1_is_not_rounded_to_it() {
    const COUNT: usize = 64 * 64;
    const STEPS: usize = 100;
    let settings = RunSettings { weight_decay: 1e-2, ..RunSettings::PLAIN };
    // Over all roundings that a number of this size may have.
    let before: Vec<f32> = (0..COUNT).map(|k| 1.0 + k as f32 / COUNT as f32).collect();
    for optimizer in [ADAMW, Optimizer::SignSgd, Optimizer::Sgd { momentum: 0.0 }] {
        let mut tape = Tape::new(Shape { runs: 1, sequences: 1, tokens: 1 }, false);
        let matrix = tape.parameter("matrix", [64, 64], Group::Matrix);
        let x = tape.features(64);
        let y = tape.linear(x, Weight::Trained(matrix), None, 64);
        tape.mse(y);
        let plan = Arc::new(tape.compile(Purpose::Train(optimizer)));
        // Nothing goes in, so the gradient is zero, and the decay is all that moves.
        let zeros = [0.0; 64];
        let input = Inputs::new()
            .with(InputName::Features, &zeros[..])
            .with(InputName::Expected, &zeros[..])
            .with(InputName::Weights, &[1.0_f32][..]);
        let cpu = Cpu::<f32>::new(plan.clone(), vec![].into(), Some(1));
        let gpu = wait(Gpu::new(gpu::native(), plan, vec![].into())).expect("it is small");
        for (name, mut device) in [("CPU", Box::new(cpu) as Box<dyn Device>), ("GPU", Box::new(gpu))] {
            device.load(0, &before, &[], settings);
            for _ in 0..STEPS {
                device.step(&[input], &[1e-4]);
                wait(device.reports()).expect("the device does not fail");
            }
            let after = wait(device.trained()).expect("the device does not fail").remove(0);
            let sum = |x: &[f32]| x.iter().map(|&x| f64::from(x)).sum::<f64>();
            let decay = 1.0 - sum(&after) / sum(&before);
            let expected = -(STEPS as f64 * (-1e-6_f64).ln_1p()).exp_m1();
            let off = decay / expected - 1.0;
            println!("{name}, {optimizer:?}: {off:e}");
            // Roundings of half a unit, which differ from number to number, leave far less in their sum.
            assert!(off.abs() < 2e-3, "{name}, {optimizer:?}: decayed by {decay:e}, not {expected:e}");
        }
    }
}

/// One adapted layer of width n, no frozen weight, one row; the derivation is that of the paper's theory with Δ = dL/dy, arXiv 2406.08447.
struct OneLayer {
    x: Vec<f32>,
    sign: Vec<f64>,
    before: Vec<f32>,
    after: Vec<f32>,
}

const WIDTH: usize = 64;
const RANK: usize = 4;

impl OneLayer {
    fn stepped(scheme: &str) -> OneLayer {
        let mut tape = Tape::new(Shape { runs: 1, sequences: 1, tokens: 1 }, false);
        let x = tape.features(WIDTH);
        let y = tape.lora_linear(x, Weight::Frozen(0), None, WIDTH, RANK, "layer");
        tape.mse(y);
        let plan = Arc::new(tape.compile(Purpose::Train(Optimizer::SignSgd)));
        let zero = Tensor {
            name: "layer".to_owned(),
            shape: [WIDTH, WIDTH],
            data: Data::F32(vec![0.0; WIDTH * WIDTH].into()),
        };
        let settings = RunSettings { scale: 1.0, learning_rate_ratio: 1.0, weight_decay: 0.0, max_grad_norm: 0.0 };
        let scheme = init::find(scheme).expect("a scheme of the tests");
        let (before, _) =
            start(&plan, &[], &Run { scheme, chosen: Default::default(), seed: 0, learning_rate: RATE, settings })
                .expect("it needs no weights")
                .numbers();
        let mut device = Cpu::<f32>::new(plan, vec![zero].into(), Some(1));
        device.load(0, &before, &[], settings);
        let [mut features, mut expected] = [vec![0.0; WIDTH], vec![0.0; WIDTH]];
        Stream::new(0, "x").normal(1.0, &mut features);
        Stream::new(0, "t").normal(1.0, &mut expected);
        device.step(
            &[Inputs::new()
                .with(InputName::Features, &features)
                .with(InputName::Expected, &expected)
                .with(InputName::Weights, &[1.0_f32][..])],
            &[RATE],
        );
        // y = 0 at the start, so dL/dy = −2t.
        let sign = expected.iter().map(|&t| -f64::from(t).signum()).collect();
        OneLayer { x: features, sign, before, after: device.trained(0) }
    }
}

fn product(matrix: &[f32], vector: &[f64]) -> Vec<f64> {
    let row = |row: &[f32]| row.iter().zip(vector).map(|(&m, v)| f64::from(m) * v).sum();
    matrix.chunks_exact(vector.len()).map(row).collect()
}

fn assert_near(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 1e-5 * expected.abs(), "{found} is not {expected}");
    }
}

#[test]
fn sign_steps_from_init_a_move_b_by_the_norm_of_z() {
    let OneLayer { x, sign, before, after } = OneLayer::stepped("init-a");
    let (a_0, b_0) = before.split_at(RANK * WIDTH);
    let (a_1, b_1) = after.split_at(RANK * WIDTH);
    assert_eq!(a_0, a_1, "A does not move while B is zero");
    assert!(b_0.iter().all(|&b| b == 0.0));
    let x: Vec<f64> = x.into_iter().map(f64::from).collect();
    let z = product(a_1, &x);
    // Z_B(1) = −η ‖Z_A(0)‖₁ sign(Δ)
    let norm: f64 = z.iter().map(|z| z.abs()).sum();
    let expected: Vec<f64> = sign.iter().map(|sign| -RATE * norm * sign).collect();
    assert_near(&product(b_1, &z), &expected);
}

#[test]
fn sign_steps_from_init_b_move_a_by_the_norm_of_x() {
    let OneLayer { x, sign: _, before, after } = OneLayer::stepped("init-b");
    let (a_0, b_0) = before.split_at(RANK * WIDTH);
    let (a_1, b_1) = after.split_at(RANK * WIDTH);
    assert_eq!(b_0, b_1, "B does not move while A is zero");
    assert!(a_0.iter().all(|&a| a == 0.0));
    let x: Vec<f64> = x.into_iter().map(f64::from).collect();
    let norm: f64 = x.iter().map(|x| x.abs()).sum();
    let mut t = vec![0.0_f32; WIDTH];
    Stream::new(0, "t").normal(1.0, &mut t);
    // Z_A(1) = −η ‖x‖₁ sign(B₀ᵀ Δ)
    let expected: Vec<f64> = (0..RANK)
        .map(|r| {
            let slope: f64 = (0..WIDTH).map(|o| f64::from(b_0[o * RANK + r]) * -2.0 * f64::from(t[o])).sum();
            -RATE * norm * slope.signum()
        })
        .collect();
    assert_near(&product(a_1, &x), &expected);
}
