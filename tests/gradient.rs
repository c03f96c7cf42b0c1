//! Gradients of whole models on the CPU device in f64, against finite differences of their own loss.
//!
//! The ops are tested one by one in `crates/cpu`; here it is the reverse pass that is on trial: who adds to whose gradient, what is shared, what
//! is copied, in which buffer, and whether micro-batches are summed.

use loralab_linalg::Draws;

use crate::small::{Subject, TRAIN, subjects, two_micro_batches};

/// Elements of each tensor that are tried.
const TRIED: u32 = 6;

/// The difference quotient's step: small enough for the truncation, large enough for the rounding of small gradients.
const STEP: f64 = 1.0 / 8192.0;

/// Share of a tensor's largest gradient by which an element may be off.
const TOLERANCE: f64 = 3e-8;

#[test]
fn whole_models_have_the_gradient_of_their_loss() {
    let subjects = subjects(2).into_iter().chain([two_micro_batches()]);
    let worst: Vec<(&str, f64)> = subjects.map(|subject| (subject.what, check(&subject, 1.0))).collect();
    println!("worst errors, as shares of the tensor's largest gradient: {worst:#?}");
    for (what, worst) in worst {
        assert!(worst <= TOLERANCE, "{what}: a gradient is off by {worst:e} of its tensor's largest");
    }
}

#[test]
fn a_gradient_that_is_off_is_found() {
    assert!(check(&subjects(2)[0], 1.0 + 1e-6) > TOLERANCE);
}

/// The worst error of the tried elements, after multiplying the gradients by `factor`.
fn check(subject: &Subject, factor: f64) -> f64 {
    let plan = subject.tape().compile(TRAIN);
    let mut trained: Vec<f64> = subject.trained(&plan).into_iter().map(f64::from).collect();
    let parameters = plan.parameters.clone();
    let mut device = subject.device::<f64>(plan);
    let (loss, gradient) = device.gradient(0, subject.rows.input());
    assert_eq!(loss, device.loss(0, subject.rows.input()), "{}: the backward pass changes no loss", subject.what);
    let mut draws = Draws::new(1, "tried");
    let mut worst = 0.0_f64;
    for parameter in parameters {
        let gradient = &gradient[parameter.span.range()];
        let largest = gradient.iter().fold(0.0_f64, |largest, g| largest.max(g.abs()));
        for _ in 0..TRIED {
            let element = draws.below(parameter.span.len as u32) as usize;
            let index = parameter.span.offset + element;
            let center = trained[index];
            let mut at = |offset: f64| {
                trained[index] = center + offset;
                device.set_trained(0, &trained);
                device.loss(0, subject.rows.input())
            };
            // The five-point central difference.
            let near = at(STEP) - at(-STEP);
            let far = at(2.0 * STEP) - at(-2.0 * STEP);
            trained[index] = center;
            let expected = (8.0 * near - far) / (12.0 * STEP);
            let error = (factor * gradient[element] - expected).abs();
            assert!(error.is_finite(), "{}: {} has no finite gradient", subject.what, parameter.name);
            // A tensor that the loss does not depend on has gradients and differences of exactly 0.
            if error > 0.0 {
                worst = worst.max(error / largest);
            }
        }
    }
    worst
}
