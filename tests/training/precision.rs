//! f32 against f64 through whole models: the step-0 loss and the step-1 gradients.
//!
//! The tracked scalar adds up the worst case. Each matrix multiplies it by the sum of its magnitudes and each attention by its scores, so the bound
//! says much of one layer, little of two and nothing of nano. So decoders of one layer are held to it here; nano is held to a tolerance that was
//! measured, twice what f32 is off by; each op by itself is held to its tracked bound in crates/cpu/tests.

use std::sync::Arc;

use loralab_core::{
    device::{Cpu, Inputs},
    graph::tape::Purpose,
    lab::train::start,
};
use loralab_cpu::{Scalar, Tracked};

use super::{ADAMW, NANO, batches, plan, run};
use crate::small::{Subject, TRAIN, subjects};

fn loss_and_gradient<S: Scalar>(subject: &Subject) -> (S, Vec<S>) {
    subject.device::<S>(subject.tape().compile(TRAIN)).gradient(0, subject.rows.input())
}

/// Largest bound of a loss, as a share of the loss: a wider one would say nothing.
const IDLE: f64 = 0.01;

#[test]
fn small_models_in_f32_stay_within_the_bound_that_the_tracked_scalar_derives() {
    for subject in subjects(1) {
        let (single, singles) = loss_and_gradient::<f32>(&subject);
        let (double, doubles) = loss_and_gradient::<f64>(&subject);
        let (bound, bounds) = loss_and_gradient::<Tracked>(&subject);
        println!(
            "{}: loss {double:.4}, off by {:.1e}, bound {:.1e}",
            subject.what,
            f64::from(single) - double,
            bound.error
        );
        assert!(bound.error <= IDLE * double, "{}: a bound of {} of a loss says nothing", subject.what, bound.error);
        let values = singles.iter().zip(&doubles).zip(&bounds).chain([((&single, &double), &bound)]);
        for (index, ((single, double), bound)) in values.enumerate() {
            let off = (f64::from(*single) - double).abs();
            assert!(bound.error.is_finite(), "{}: value {index} has no bound", subject.what);
            assert!(off <= bound.error, "{}: value {index} is off by {off:e}, {:e} allowed", subject.what, bound.error);
            let drift = (bound.value - double).abs();
            assert!(
                drift <= 1e-9 * (1.0 + double.abs()),
                "{}: value {index} is {double}, tracked as {bound:?}",
                subject.what
            );
        }
    }
}

#[test]
fn nano_in_f32_has_the_loss_and_the_gradients_of_f64() {
    let batch = &batches(0, 1)[0];
    let plan = Arc::new(plan(1, false, Purpose::Train(ADAMW)));
    // Both factors are random, so no gradient is zero.
    let run = run("init-ab", 0, 1e-3);
    let (trained, _) = start(&plan, &NANO.tensors, &run).expect("a start").numbers();
    fn gradient<S: Scalar>(mut device: Cpu<S>, trained: &[f32], input: Inputs<'_>) -> (f64, Vec<f64>) {
        device.load(0, trained, &[], super::SETTINGS);
        let (loss, gradient) = device.gradient(0, input);
        (loss.to_f64(), gradient.into_iter().map(S::to_f64).collect())
    }
    let base = || NANO.tensors.clone();
    let (loss, single) = gradient(Cpu::<f32>::new(plan.clone(), base(), None), &trained, Inputs::from(batch));
    let (exact, double) = gradient(Cpu::<f64>::new(plan.clone(), base(), None), &trained, Inputs::from(batch));
    let loss_off = ((loss - exact) / exact).abs();
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    let off = plan.parameters.iter().map(|parameter| {
        let range = || parameter.span.range();
        norm(&mut range().map(|i| single[i] - double[i])) / norm(&mut range().map(|i| double[i]))
    });
    let worst = off.fold(0.0, f64::max);
    println!("off by, relative: loss {loss_off:e}, the worst gradient {worst:e}");
    assert!(loss_off <= 2e-6, "the loss is {loss}, in f64 {exact}");
    assert!(worst <= 1e-5, "a gradient is off by {worst:e} of its norm");
}
