//! The kernels that follow a complete gradient: `finite`, `clip`, `precondition` and the optimisers.

use loralab_core::graph::{
    memory::{Group, Weight},
    plan::{Optimizer, Preconditioner},
    tape::Tape,
};

use super::{ADAMW, Case, Mutant, Stored, tensor, trained_rows};

pub fn optimizers() -> Vec<Case> {
    let case = |name: &str, optimizer: Optimizer, width: usize| {
        let what = format!("{name} on {width} × {width}");
        let record = move |tape: &mut Tape| {
            let x = trained_rows(tape, width);
            let gain = tape.parameter("gain", [1, width], Group::Gain);
            let x = tape.rms_norm(x, Weight::Trained(gain), 1e-5);
            let y = tape.lora_linear(x, Weight::Frozen(0), None, width, 2, "adapter");
            tape.mse(y);
        };
        let case = Case::new(what, [1, 3], record).over(vec![tensor("w", [width, width], Stored::F32)]);
        Case { optimizer, ..case }
    };
    vec![
        case("adamw", ADAMW, 90),
        case("adamw without decay of the mean", Optimizer::AdamW { beta1: 0.0, beta2: 0.999, epsilon: 1e-8 }, 5),
        case("sgd", Optimizer::Sgd { momentum: 0.9 }, 11),
        case("sign_sgd", Optimizer::SignSgd, 11),
        // So many gradients that the sums over their blocks are more than a workgroup's.
        Case::new("adamw on 530 × 530".to_owned(), [1, 2], |tape| {
            let x = trained_rows(tape, 530);
            let matrix = tape.parameter("matrix", [530, 530], Group::Matrix);
            let y = tape.linear(x, Weight::Trained(matrix), None, 530);
            tape.mse(y);
        }),
    ]
}

/// Adapters of ranks that fill no tile, between what belongs to none, and ones whose outputs are hardly more than the rank.
pub fn preconditioners() -> Vec<Case> {
    let case = |preconditioner: Preconditioner, [inputs, outputs]: [usize; 2], rank: usize| {
        let what = format!("precondition {inputs} → {outputs} of rank {rank} by {preconditioner:?}");
        let record = move |tape: &mut Tape| {
            let x = trained_rows(tape, inputs);
            let y = tape.lora_linear(x, Weight::Frozen(0), None, outputs, rank, "first");
            let gain = tape.parameter("gain", [1, outputs], Group::Gain);
            let y = tape.rms_norm(y, Weight::Trained(gain), 1e-5);
            let z = tape.lora_linear(y, Weight::Frozen(1), None, 2 * rank + 3, rank + 1, "second");
            tape.mse(z);
        };
        let base = vec![tensor("w", [outputs, inputs], Stored::F32), tensor("v", [2 * rank + 3, outputs], Stored::F32)];
        let case = Case::new(what, [2, 3], record).over(base);
        Case { optimizer: Optimizer::Sgd { momentum: 0.5 }, preconditioner: Some(preconditioner), ..case }
    };
    let (riemannian, unit) = (Preconditioner::Riemannian, Preconditioner::NoraPlus);
    let small = [riemannian, unit].into_iter().flat_map(|kind| [case(kind, [7, 5], 1), case(kind, [21, 34], 3)]);
    // More of a rank than a workgroup has invocations, too.
    small.chain([case(riemannian, [70, 41], 9), case(unit, [70, 41], 17), case(unit, [90, 140], 66)]).collect()
}

/// Broken kernels.
pub const MUTANTS: &[Mutant] = &[
    ("adamw/step", "params.one_minus_beta1 * (g", "(1.0 - params.one_minus_beta1) * (g"),
    ("adamw/step", "params.one_minus_beta2 * (g", "(1.0 - params.beta2) * (g"),
    ("adamw/step", "params.beta2 * moments[second]", "moments[second]"),
    ("adamw/step", "(g * g)", "g"),
    ("adamw/step", "+ params.epsilon", ""),
    ("adamw/step", "/ sqrt(rates[at + 2u])", ""),
    ("adamw/step", "rate / rates[at + 1u]", "rate"),
    ("adamw/step", "rate * decay * trained[i] + ", ""),
    ("adamw/step", "of_kind == 1u", "of_kind == 0u"),
    ("adamw/step", "of_kind == 2u", "of_kind == 3u"),
    ("adamw/step", "places[middle * 3u] <= element", "places[middle * 3u] < element"),
    ("adamw/step", "slot[0] * params.runs + run", "slot[0] * params.runs"),
    ("adamw/step", "states[run * 2u] != 0u", "states[run * 2u] == 0u"),
    ("precondition/product", "start += 32u", "start += 64u"),
    ("precondition/product", "k < 32u", "k < 31u"),
    (
        "precondition/product",
        "line < rank {\n                of_column",
        "line + 1u < rank {\n                of_column",
    ),
    ("precondition/product", "select(1u, terms, kind == 3u)", "select(1u, terms, kind == 1u)"),
    ("precondition/product", "run * params.elements + place", "place"),
    ("precondition/product", "kind != 1u && kind != 3u", "kind != 3u"),
    ("precondition/product", "params.rank + 7u", "params.rank"),
    ("precondition/inverse", "max(params.epsilon, trace", "max(0.0, trace"),
    ("precondition/inverse", "products[m + k * rank + k] + epsilon", "products[m + k * rank + k]"),
    ("precondition/inverse", "j < k; j++) {\n            pivot", "j + 1u < k; j++) {\n            pivot"),
    ("precondition/inverse", "= sum / root;", "= sum;"),
    ("precondition/inverse", "k + 1u + local", "k + 2u + local"),
    ("precondition/inverse", "select(0.0, 1.0, i == column)", "1.0"),
    ("precondition/inverse", "var k = max(i, j)", "var k = max(i, j) + 1u"),
    ("precondition/inverse", "params.unit == 1u", "params.unit == 2u"),
    ("precondition/inverse", "share < 64u", "share < 32u"),
    ("precondition/inverse", "group.y * params.parameters", "0u * params.parameters"),
    ("precondition/apply", "parameter + 1u) * room + row", "parameter) * room + row"),
    ("precondition/apply", "parameter - 1u) * room + column", "parameter) * room + column"),
    ("precondition/product", "places[parameter * 3u + 2u]", "params.rank"),
    ("precondition/inverse", "places[group.x * 3u + 2u]", "params.rank"),
    ("precondition/apply", "places[parameter * 3u + 2u]", "params.rank"),
    ("precondition/apply", "start + k * inputs + column", "start + k * inputs"),
    ("precondition/apply", "inverses[inverse + k * rank]", "inverses[inverse]"),
    ("precondition/apply", "var sum = gradients[i];", "var sum = 0.0;"),
    ("sgd/step", "params.momentum * moments[i]", "moments[i]"),
    ("sgd/step", "+ decay * trained[i]", ""),
    ("sign_sgd/step", "g < 0.0", "g < -1.0"),
    ("sign_sgd/step", "rate * decay * trained[i] + ", ""),
    ("clip/scale", "gradients[i] *= factor", "gradients[i] *= factor * 1.001"),
    ("clip/scale", "i / params.elements * 2u", "0u * 2u"),
    ("finite/partial", "block * 4096u + local", "local"),
    ("finite/partial", "sum += gradient * gradient", "sum += abs(gradient)"),
    ("finite/partial", "(block + 1u) * 4096u, params.elements", "(block + 1u) * 4096u, params.elements - 1u"),
    ("finite/total", "block += 64u", "block += 63u"),
    ("finite/total", "most > 0.0 &&", ""),
    ("finite/total", "most / (norm", "1.0 / (norm"),
    ("step/gather", "row < params.rows_per_run", "row + 1u < params.rows_per_run"),
    ("step/gather", "= gathered[run * 64u + local]", "= 1.0"),
    ("finite/total", "gathered[run * 64u + local] = 0.0;", ""),
    ("step/load", "slot[0] * params.stride", "params.stride"),
    ("step/load", "params.offset + i", "i"),
];
