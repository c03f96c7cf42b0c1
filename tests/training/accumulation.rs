//! A step whose gradients are added up over several passes is the step of one batch as large, on both devices and in any cohort.

use std::sync::Arc;

use loralab_core::{
    device::{Cpu, Device, Gpu, wait},
    graph::{
        plan::{Plan, Shape},
        tape::{Purpose, Tape},
    },
    lab::train::{Cohort, Run, start},
    models::{Adapters, Training, llama::MODULES},
};

use super::{ADAMW, NANO, TRANSLATION, run};
use crate::gpu;

const TOKENS: usize = 64;
const STEPS: usize = 3;

/// Losses of each step and what is trained after the last, run by run, where a step is `passes` passes over so many sequences.
fn train(
    runs: &[Run],
    [sequences, passes]: [usize; 2],
    make_device: &dyn Fn(Arc<Plan>) -> Box<dyn Device>,
) -> Vec<(Vec<f64>, Vec<f32>)> {
    let adapters = Adapters::new(2, MODULES.map(str::to_owned).into());
    let mut tape = Tape::new(Shape { runs: runs.len(), sequences, tokens: TOKENS }, false);
    NANO.model.record(&mut tape, Training::Adapters(&NANO, &adapters));
    let plan = Arc::new(tape.compile(Purpose::Train(ADAMW)));
    let initial = |run: &Run| Arc::new(start(&plan, &NANO.tensors, run).expect("it is drawn"));
    let initials = runs.iter().map(initial).collect();
    let device = make_device(plan.clone());
    let cohort = Cohort::begin(runs.to_vec(), initials, plan.clone(), device, &TRANSLATION.train, passes);
    let mut cohort = cohort.expect("the data fit");
    let mut losses = vec![vec![]; runs.len()];
    for step in 1..=STEPS {
        cohort.step(1.0);
        if !cohort.is_busy() && step < STEPS {
            continue;
        }
        for outcomes in wait(cohort.outcomes()).expect("the device does not fail") {
            for (losses, outcome) in losses.iter_mut().zip(outcomes) {
                losses.push(outcome.expect("no run diverges").report.loss);
            }
        }
    }
    let trained = wait(cohort.device().trained()).expect("the device does not fail");
    losses.into_iter().zip(trained).collect()
}

fn runs() -> [Run; 2] {
    // Both factors are random, so that no gradient is zero but for rounding, which AdamW would make a step of.
    [run("init-ab", 0, 1e-3), run("init-ab", 1, 4e-3)]
}

fn cpu(plan: Arc<Plan>) -> Box<dyn Device> {
    Box::new(Cpu::<f32>::new(plan, NANO.tensors.clone(), Some(2)))
}

fn assert_near(found: &[(Vec<f64>, Vec<f32>)], expected: &[(Vec<f64>, Vec<f32>)], off: f64) {
    for ((found, moved), (expected, trained)) in found.iter().zip(expected) {
        assert_eq!((found.len(), expected.len()), (STEPS, STEPS));
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= off * expected, "{found} for {expected}");
        }
        let difference: Vec<f32> = moved.iter().zip(trained).map(|(found, expected)| found - expected).collect();
        let share = loralab_linalg::norm(&difference) / loralab_linalg::norm(trained);
        assert!(share <= off, "the adapters differ by {share:e} of their norm");
    }
}

#[test]
fn passes_add_up_to_the_step_of_the_large_batch() {
    let exact = |plan: Arc<Plan>| -> Box<dyn Device> { Box::new(Cpu::<f64>::new(plan, NANO.tensors.clone(), Some(2))) };
    let large = train(&runs(), [12, 1], &exact);
    // The sampler's weights are single.
    for shape in [[4, 3], [1, 12]] {
        assert_near(&train(&runs(), shape, &exact), &large, 1e-6);
    }
    assert_near(&train(&runs(), [4, 3], &cpu), &large, 1e-4);
    let other = train(&runs(), [4, 2], &exact);
    assert!((other[0].0[0] - large[0].0[0]).abs() > 1e-3, "a smaller batch has another loss");
}

#[test]
fn passes_have_the_bits_of_a_run_alone() {
    let together = train(&runs(), [2, 3], &cpu);
    for (run, together) in runs().into_iter().zip(together) {
        assert!(train(&[run], [2, 3], &cpu) == [together]);
    }
}

#[test]
fn passes_add_up_on_a_gpu_even_if_its_rings_hold_fewer() {
    let accelerator = gpu::native();
    let gpu = |plan: Arc<Plan>| -> Box<dyn Device> {
        Box::new(wait(Gpu::new(accelerator.clone(), plan, NANO.tensors.clone())).expect("nano runs on every GPU"))
    };
    for shape in [[2, 3], [1, 40]] {
        let together = train(&runs(), shape, &gpu);
        assert_near(&together, &train(&runs(), shape, &cpu), 1e-3);
        assert!(train(&runs()[1..], shape, &gpu) == together[1..], "it depends on the cohort");
    }
}
