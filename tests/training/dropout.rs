//! Dropout's masks depend on a run's seed, the step, the module and the element only; there are none outside of training.

use std::{collections::BTreeSet, sync::Arc};

use loralab_core::{
    device::{Cpu, Device, Gpu, Inputs, wait},
    graph::{
        memory::InputName,
        ops::dropout::noise,
        plan::{Plan, Shape},
        tape::{Purpose, Tape},
    },
    lab::train::{Cohort, Run, start},
    models::{Adapters, Training, llama::MODULES},
};

use super::{ADAMW, NANO, TRANSLATION, batches, run};
use crate::gpu;

const TOKENS: usize = 64;

/// Nano with adapters of rank 2 whose inputs are dropped with this probability.
fn plan(runs: usize, sequences: usize, probability: f64, purpose: Purpose) -> Plan {
    let adapters = Adapters::new(2, MODULES.map(str::to_owned).into());
    let mut tape = Tape::new(Shape { runs, sequences, tokens: TOKENS }, true);
    tape.dropout(probability);
    NANO.model.record(&mut tape, Training::Adapters(&NANO, &adapters));
    tape.compile(purpose)
}

/// The losses of three steps and what is trained after them, run by run; a step is `passes` passes over so many sequences.
fn train(
    runs: &[Run],
    [sequences, passes]: [usize; 2],
    probability: f64,
    make_device: &dyn Fn(Arc<Plan>) -> Box<dyn Device>,
) -> Vec<(Vec<f64>, Vec<f32>)> {
    let plan = Arc::new(plan(runs.len(), sequences, probability, Purpose::Train(ADAMW)));
    let initials = runs.iter().map(|run| Arc::new(start(&plan, &NANO.tensors, run).expect("it is drawn"))).collect();
    let device = make_device(plan.clone());
    let mut cohort =
        Cohort::begin(runs.to_vec(), initials, plan, device, &TRANSLATION.train, passes).expect("they fit");
    let mut losses = vec![vec![]; runs.len()];
    for _ in 0..3 {
        cohort.step(1.0);
        for outcomes in wait(cohort.outcomes()).expect("the device does not fail") {
            for (losses, outcome) in losses.iter_mut().zip(outcomes) {
                losses.push(outcome.expect("no run diverges").report.loss);
            }
        }
    }
    losses.into_iter().zip(wait(cohort.device().trained()).expect("the device does not fail")).collect()
}

fn runs() -> [Run; 3] {
    // The frozen pair of the last reads what is not dropped.
    [run("init-ab", 0, 1e-3), run("init-ab", 1, 4e-3), run("init-ab-subtract", 1, 1e-3)]
}

fn cpu(plan: Arc<Plan>) -> Box<dyn Device> {
    Box::new(Cpu::<f32>::new(plan, NANO.tensors.clone(), Some(2)))
}

#[test]
fn a_run_has_the_same_masks_in_any_cohort() {
    let together = train(&runs(), [4, 1], 0.3, &cpu);
    for (index, (run, together)) in runs().iter().zip(&together).enumerate() {
        assert!(
            train(std::slice::from_ref(run), [4, 1], 0.3, &cpu)[0] == *together,
            "run {index} depends on its cohort"
        );
    }
    let without = train(&runs(), [4, 1], 0.0, &cpu);
    assert!(together.iter().zip(&without).all(|(some, none)| some.0[1..] != none.0[1..]), "nothing is dropped");
}

#[test]
fn the_passes_of_a_step_have_the_masks_of_the_batch() {
    let (whole, cut) = (train(&runs(), [4, 1], 0.3, &cpu), train(&runs(), [2, 2], 0.3, &cpu));
    for ((whole, _), (cut, _)) in whole.iter().zip(&cut) {
        for (whole, cut) in whole.iter().zip(cut) {
            assert!((whole - cut).abs() < 2e-5 * whole, "{whole} and {cut}");
        }
    }
}

#[test]
fn a_gpu_has_the_masks_of_the_host() {
    let gpu = gpu::native();
    let on_gpu = |plan: Arc<Plan>| -> Box<dyn Device> {
        Box::new(wait(Gpu::new(gpu.clone(), plan, NANO.tensors.clone())).expect("the GPU runs nano"))
    };
    let (host, gpu) = (train(&runs()[..2], [2, 1], 0.3, &cpu), train(&runs()[..2], [2, 1], 0.3, &on_gpu));
    for ((host, _), (gpu, _)) in host.iter().zip(&gpu) {
        for (host, gpu) in host.iter().zip(gpu) {
            assert!((host - gpu).abs() < 1e-4 * host, "{host} and {gpu}");
        }
    }
}

/// A step that gives no noise, as validation and prediction do, drops nothing.
#[test]
fn nothing_is_dropped_outside_of_training() {
    let batch = &batches(0, 1)[0];
    let evaluate = |probability: f64, noisy: Option<&[u32]>| {
        let plan = Arc::new(plan(1, super::SEQUENCES, probability, Purpose::Train(ADAMW)));
        let initial = start(&plan, &NANO.tensors, &run("init-ab", 0, 1e-3)).expect("it is drawn");
        let mut device = Cpu::<f32>::new(plan, NANO.tensors.clone(), Some(1));
        device.load(0, initial.trained(), initial.frozen_pairs(), super::SETTINGS);
        let inputs = Inputs::from(batch);
        let inputs = noisy.map_or(inputs, |noise| inputs.with(InputName::Noise, noise));
        device.evaluate(&[inputs])[0].as_ref().map(|evaluation| evaluation.loss)
    };
    let plain = evaluate(0.0, None);
    assert_eq!(evaluate(0.5, None), plain);
    let mut losses = BTreeSet::new();
    for (seed, step) in [(0, 0), (0, 1), (1, 0), (1 << 32, 0)] {
        let noise = noise(seed, step, 0..super::SEQUENCES * TOKENS);
        let loss = evaluate(0.5, Some(&noise));
        assert_ne!(loss, plain);
        losses.insert(loss.expect("the run is alive").to_bits());
    }
    assert_eq!(losses.len(), 4, "a seed or a step has the masks of another");
}
