//! A cohort that goes on from its state on a new device has the bits of one that was never interrupted.

use std::sync::Arc;

use loralab_core::{
    device::{Cpu, Device, Gpu, wait},
    graph::{
        plan::{Optimizer, Plan},
        tape::Purpose,
    },
    lab::train::{Cohort, Run},
};
use loralab_data::validation;

use super::{ADAMW, NANO, SEQUENCES, TOKENS, TRANSLATION, Trace, plan, run};
use crate::gpu;

/// Steps in all.
const STEPS: usize = 4;

/// Different starts, seeds and rates; one subtracts its start, and one diverges at its second step.
fn runs() -> Vec<Run> {
    let mut runs =
        vec![run("init-a", 0, 4e-3), run("init-b", 1, 1e30), run("init-ab-subtract", 2, 1e-3), run("init-b", 0, 8e-3)];
    runs[3].settings.max_grad_norm = 0.0;
    runs
}

/// Trains at falling rates, and on another device from after `interruption` steps on.
fn train(optimizer: Optimizer, interruption: usize, make: &dyn Fn(Arc<Plan>) -> Box<dyn Device>) -> Vec<Trace> {
    let runs = runs();
    let plan = Arc::new(plan(runs.len(), true, Purpose::Train(optimizer)));
    let begin = || Cohort::new(runs.clone(), plan.clone(), &NANO.tensors, make(plan.clone()), &TRANSLATION.train);
    let mut cohort = begin().expect("the data fit");
    let mut traces = vec![Trace { losses: vec![], diverged: None, trained: vec![], validation: None }; runs.len()];
    for step in 0..STEPS {
        if step == interruption {
            let state = wait(cohort.state()).expect("the device does not fail");
            assert_eq!((state.step, state.runs[1].diverged), (step, step >= 2));
            // The new device starts from the restored state alone.
            cohort = begin().expect("the data fit");
            cohort.restore(&state).expect("it is of the same cohort");
        }
        cohort.step(1.0 - step as f64 / STEPS as f64);
        let outcomes = wait(cohort.outcomes()).expect("the device does not fail").remove(0);
        for (trace, outcome) in traces.iter_mut().zip(outcomes) {
            let Some(outcome) = outcome else { continue };
            // NaN is not even equal to itself.
            trace.losses.push(Some(outcome.report.loss).filter(|loss| loss.is_finite()).unwrap_or(f64::MAX));
            trace.diverged = outcome.report.diverged.map(|tensor| (step + 1, tensor));
        }
    }
    let held_out = validation(&TRANSLATION.validation, SEQUENCES, TOKENS, 6).expect("the data fit");
    let validations = wait(cohort.validate(&held_out)).expect("the device does not fail");
    let trained = wait(cohort.device().trained()).expect("the device does not fail");
    for (trace, (trained, validation)) in traces.iter_mut().zip(trained.into_iter().zip(validations)) {
        (trace.trained, trace.validation) = (trained, validation);
    }
    // Of a run that has diverged no number is looked at again.
    traces[1].trained.clear();
    traces
}

const SGD: Optimizer = Optimizer::Sgd { momentum: 0.9 };

fn interruptions_change_no_bit(
    optimizers: &[Optimizer],
    interruptions: &[usize],
    make: &dyn Fn(Arc<Plan>) -> Box<dyn Device>,
) {
    for &optimizer in optimizers {
        let whole = train(optimizer, STEPS, make);
        assert!(whole[0].losses.len() == STEPS && whole[0].validation.is_some(), "{optimizer:?}");
        for &interruption in interruptions {
            let resumed = train(optimizer, interruption, make);
            assert!(resumed == whole, "{optimizer:?}, interrupted after {interruption} steps");
        }
    }
}

#[test]
fn on_the_cpu_an_interruption_changes_no_bit() {
    interruptions_change_no_bit(&[ADAMW, SGD, Optimizer::SignSgd], &[0, 1, 3], &|plan| {
        Box::new(Cpu::<f32>::new(plan, NANO.tensors.clone(), Some(2)))
    });
}

#[test]
fn on_the_gpu_an_interruption_changes_no_bit() {
    let accelerator = gpu::native();
    // Fewer, since a software GPU takes its time: one in which a run has diverged, with two moments and with one.
    interruptions_change_no_bit(&[ADAMW, SGD], &[3], &|plan| {
        Box::new(wait(Gpu::new(accelerator.clone(), plan, NANO.tensors.clone())).expect("nano runs on every GPU"))
    });
}

#[test]
fn a_state_of_another_cohort_is_refused_in_a_sentence() {
    let begin = |runs: usize, optimizer| {
        let plan = Arc::new(plan(runs, false, Purpose::Train(optimizer)));
        let device = Box::new(Cpu::<f32>::new(plan.clone(), NANO.tensors.clone(), Some(1)));
        let runs = (0..runs as u64).map(|seed| run("init-a", seed, 1e-3)).collect();
        Cohort::new(runs, plan, &NANO.tensors, device, &TRANSLATION.train).expect("the data fit")
    };
    let state = wait(begin(2, ADAMW).state()).expect("the CPU does not fail");
    assert!(begin(2, ADAMW).restore(&state).is_ok());
    for mut other in [begin(3, ADAMW), begin(2, Optimizer::SignSgd)] {
        let error = other.restore(&state).expect_err("it has other sizes").to_string();
        assert!(error.contains("the state is of 2 runs of") && error.contains("begin anew"), "{error}");
    }
}
