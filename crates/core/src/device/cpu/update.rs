//! Updates that follow a complete gradient, on the CPU.

use loralab_cpu::{Scalar, adamw, clip, finite, precondition, sgd, sign_sgd};

use super::Run;
use crate::{
    device::StepReport,
    graph::{
        memory::{Group, Site},
        plan::{Optimizer, Plan, Update},
    },
};

/// The update of one run: the finite test, clipping, preconditioning and the optimiser's step.
pub fn update<S: Scalar>(
    run: &mut Run<S>,
    plan: &Plan,
    loss: S,
    gradients: &mut [S],
    learning_rate: f64,
) -> StepReport {
    let mut report = StepReport { loss: loss.to_f64(), gradient_norm: f64::NAN, diverged: None };
    let mut norm = S::ZERO;
    for update in &plan.updates {
        match update {
            Update::Finite => {
                norm = clip::squared_norm(gradients).sqrt();
                report.gradient_norm = norm.to_f64();
                if !(report.loss.is_finite() && report.gradient_norm.is_finite()) {
                    run.diverged = true;
                    report.diverged = Some(culprit(plan, gradients));
                    return report;
                }
            }
            Update::Clip => {
                // As PyTorch's clip_grad_norm_: the 1e-6 avoids a division by zero for a zero gradient.
                let factor = S::from_f64(run.settings.max_grad_norm) / (norm + S::from_f64(1e-6));
                if run.settings.max_grad_norm > 0.0 && factor < S::ONE {
                    clip::scale(gradients, factor);
                }
            }
            Update::Precondition(preconditioner) => {
                for &Site { inputs, outputs, rank, a: of_a, b: of_b, .. } in &plan.sites {
                    let [a, b] = [of_a, of_b].map(|span| &run.trained[span.range()]);
                    let shape = precondition::Shape { inputs, outputs, rank };
                    let epsilon = S::from_f64(preconditioner.epsilon());
                    let hyper = precondition::Hyper { epsilon, unit: preconditioner.is_unit() };
                    let (da, db) = gradients[of_a.offset..of_b.range().end].split_at_mut(a.len());
                    precondition::adapter(hyper, shape, a, b, da, db);
                }
            }
            Update::Step(optimizer) => {
                run.steps += 1;
                optimize(run, plan, *optimizer, gradients, learning_rate);
            }
        }
    }
    report
}

/// Name of the first trained tensor with a non-finite gradient, or of the gradient's norm if every element is finite.
fn culprit<S: Scalar>(plan: &Plan, gradients: &[S]) -> String {
    let Some(index) = finite::first_non_finite(gradients) else { return "the gradient's norm".to_owned() };
    let tensor = plan.parameters.iter().find(|parameter| parameter.span.range().contains(&index));
    tensor.map_or_else(String::new, |parameter| parameter.name.clone())
}

fn optimize<S: Scalar>(run: &mut Run<S>, plan: &Plan, optimizer: Optimizer, gradients: &[S], learning_rate: f64) {
    let Run { settings, trained, first_moment, second_moment, steps, .. } = run;
    for parameter in &plan.parameters {
        let range = parameter.span.range();
        let ratio = if parameter.group == Group::B { settings.learning_rate_ratio } else { 1.0 };
        let decay = if parameter.group == Group::Gain { 0.0 } else { settings.weight_decay };
        let (learning_rate, weight_decay) = (S::from_f64(learning_rate * ratio), S::from_f64(decay));
        let (p, g) = (&mut trained[range.clone()], &gradients[range.clone()]);
        match optimizer {
            Optimizer::AdamW { beta1, beta2, epsilon } => {
                let hyper = adamw::Hyper {
                    learning_rate,
                    one_minus_beta1: S::from_f64(1.0 - beta1),
                    beta2: S::from_f64(beta2),
                    one_minus_beta2: S::from_f64(1.0 - beta2),
                    epsilon: S::from_f64(epsilon),
                    weight_decay,
                    bias1: S::from_f64(1.0 - beta1.powf(*steps as f64)),
                    bias2: S::from_f64(1.0 - beta2.powf(*steps as f64)),
                };
                adamw::step(hyper, p, g, &mut first_moment[range.clone()], &mut second_moment[range]);
            }
            Optimizer::Sgd { momentum } => {
                let hyper =
                    sgd::Hyper { learning_rate, momentum: S::from_f64(momentum), weight_decay, first: *steps == 1 };
                sgd::step(hyper, p, g, &mut first_moment[range]);
            }
            Optimizer::SignSgd => sign_sgd::step(learning_rate, weight_decay, p, g),
        }
    }
}
