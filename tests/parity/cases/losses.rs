//! Losses: `cross_entropy` and `mse`.

use loralab_core::graph::memory::{Data, Tensor, Weight};

use super::{Case, Mutant, trained_rows};
use crate::parity::normal;

pub fn losses() -> Vec<Case> {
    let mut cases = Vec::new();
    for (vocabulary, shape) in [(1, [1, 2]), (3, [2, 5]), (64, [1, 7]), (100, [3, 5]), (256, [1, 9])] {
        let what = format!("cross_entropy of {vocabulary} tokens, {shape:?}");
        let case = Case::new(what, shape, move |tape| {
            let logits = trained_rows(tape, vocabulary);
            tape.cross_entropy(logits);
        });
        cases.push(Case { vocabulary: vocabulary as u32, ..case });
    }
    // Every logit stands there twice, so that the largest may stand before the target's, in any share of the row.
    let (half, columns) = (15, 4);
    let mut twins = normal("twins", 1.0, half * columns);
    let mirrored: Vec<f32> = twins.chunks(columns).rev().flatten().copied().collect();
    twins.extend(mirrored);
    let twins = Tensor { name: "twins".to_owned(), shape: [2 * half, columns], data: Data::F32(twins) };
    let case = Case::new("cross_entropy of twins".to_owned(), [4, 64], move |tape| {
        let x = trained_rows(tape, columns);
        let logits = tape.linear(x, Weight::Frozen(0), None, 2 * half);
        tape.cross_entropy(logits);
    });
    cases.push(Case { vocabulary: 2 * half as u32, ..case.over(vec![twins]) });
    for (outputs, shape) in [(1, [1, 1]), (7, [2, 9])] {
        let what = format!("mse of {outputs} outputs, {shape:?}");
        cases.push(Case::new(what, shape, move |tape| {
            let y = trained_rows(tape, outputs);
            tape.mse(y);
        }));
    }
    cases
}

/// Broken kernels.
pub const MUTANTS: &[Mutant] = &[
    ("cross_entropy/forward", "i += 64u", "i += 32u"),
    ("cross_entropy/forward", "logits[start + i] - largest", "logits[start + i]"),
    ("cross_entropy/forward", "largest + log(in_row)", "log(in_row)"),
    ("cross_entropy/forward", "weights[row] * (log_sum - score)", "log_sum - score"),
    ("cross_entropy/forward", "log_sum - score", "log_sum"),
    ("cross_entropy/forward", "select(0.0, log_sum, counts)", "log_sum"),
    ("cross_entropy/forward", "score == largest && first", "true"),
    ("cross_entropy/forward", "select(1.0, select", "select(0.0, select"),
    ("cross_entropy/forward", "i < 8u", "i < 7u"),
    ("cross_entropy/forward", "in_all += earlier_eighths[i]", "in_all += earlier_eighths[0]"),
    ("cross_entropy/forward", "count += earlier[local * 8u + i]", "count += earlier[local * 8u]"),
    ("cross_entropy/forward", "eighths[i] > largest", "eighths[i] < largest"),
    ("cross_entropy/backward_input", "- expected", ""),
    ("cross_entropy/backward_input", "select(0.0, gradient, weight != 0.0)", "gradient + 1e-3"),
    ("cross_entropy/backward_input", "- lse[row]", ""),
    ("cross_entropy/backward_input", "weight * (exp", "(exp"),
    ("cross_entropy/backward_input", "i / params.vocabulary", "i % params.vocabulary"),
    ("mse/forward", "difference * difference", "abs(difference)"),
    ("mse/forward", "weights[row] * sum", "sum"),
    ("mse/backward_input", "(weight + weight)", "weight"),
];
