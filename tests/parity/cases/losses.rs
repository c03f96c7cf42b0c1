//! Losses: `cross_entropy`, `linear_cross_entropy` and `mse`.

use loralab_core::graph::memory::{Data, Group, Tensor, Weight};

use super::{Case, Mutant, Stored, tensor, trained_rows};
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
    let twins = Tensor { name: "twins".to_owned(), shape: [2 * half, columns], data: Data::F32(twins.into()) };
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

/// A frozen and a trained head over the same rows: one chunk, many with a rest, chunks of one token; capped or not; equal logits in several chunks.
pub fn linear_cross_entropy() -> Vec<Case> {
    let case = |width: usize, vocabulary: usize, chunk: usize, shape: [usize; 2], cap: Option<f64>, stored: Stored| {
        let what =
            format!("linear_cross_entropy of {width} → {vocabulary} by {chunk}, cap {cap:?}, {stored:?}, {shape:?}");
        let frozen = Case::new(what.clone(), shape, move |tape| {
            let x = trained_rows(tape, width);
            tape.linear_cross_entropy(x, Weight::Frozen(0), vocabulary, chunk, cap);
            // Another reader, whose gradient comes first, so that the head's has to be added.
            let y = tape.linear(x, Weight::Frozen(1), None, width);
            tape.mse(y);
        });
        let base = vec![tensor("head", [vocabulary, width], stored), tensor("back", [width, width], Stored::F32)];
        let trained = Case::new(format!("{what}, trained"), shape, move |tape| {
            let x = trained_rows(tape, width);
            let head = tape.parameter("head", [vocabulary, width], Group::Matrix);
            tape.linear_cross_entropy(x, Weight::Trained(head), vocabulary, chunk, cap);
        });
        [frozen.over(base), trained].map(|case| Case { vocabulary: vocabulary as u32, ..case })
    };
    // Every row of the head stands there twice: in one chunk, in two, and in one that is longer than a workgroup.
    let twins = |half: usize, chunk: usize| {
        let columns = 4;
        let mut twins = normal("twins", 1.0, half * columns);
        let mirrored: Vec<f32> = twins.chunks(columns).rev().flatten().copied().collect();
        twins.extend(mirrored);
        let twins = Tensor { name: "twins".to_owned(), shape: [2 * half, columns], data: Data::F32(twins.into()) };
        let case = Case::new(format!("linear_cross_entropy of twins by {chunk}"), [4, 64], move |tape| {
            let x = trained_rows(tape, columns);
            tape.linear_cross_entropy(x, Weight::Frozen(0), 2 * half, chunk, None);
        });
        Case { vocabulary: 2 * half as u32, ..case.over(vec![twins]) }
    };
    let pairs = [
        case(3, 1, 8, [1, 2], None, Stored::F32),
        case(9, 70, 16, [3, 5], None, Stored::F16),
        case(17, 150, 139, [2, 33], None, Stored::Bf16),
        case(5, 7, 1, [1, 4], Some(1.5), Stored::F32),
        case(6, 201, 67, [3, 7], Some(3.0), Stored::F16),
    ];
    pairs.into_iter().flatten().chain([twins(33, 13), twins(80, 160)]).collect()
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
    ("linear_cross_entropy/fold", "i += 64u", "i += 65u"),
    ("linear_cross_entropy/fold", "other.logit > one.logit", "other.logit < one.logit"),
    ("linear_cross_entropy/fold", "other.logit == one.logit && other.place < one.place", "false"),
    ("linear_cross_entropy/fold", "begins || here.logit > before", "begins || here.logit >= before"),
    ("linear_cross_entropy/fold", "f32(params.first + here.place)", "f32(here.place)"),
    ("linear_cross_entropy/fold", "exp(before - largest)", "1.0"),
    ("linear_cross_entropy/fold", "leads), 0.0, begins)", "leads), 1.0, begins)"),
    ("linear_cross_entropy/fold", "target_token - params.first < params.count", "true"),
    ("linear_cross_entropy/fold", "params.last == 1u", "params.last == 0u"),
    ("linear_cross_entropy/fold", "largest + log(in_all)", "log(in_all)"),
    ("linear_cross_entropy/fold", "weights[row] * (log_sum - score)", "(log_sum - score)"),
    ("linear_cross_entropy/fold", "select(0.0, log_sum, counts)", "log_sum"),
    ("linear_cross_entropy/fold", "select(1.0, select", "select(0.0, select"),
    ("linear_cross_entropy/fold", "best == f32(target_token)", "true"),
    ("linear_cross_entropy/fold", "i < 8u", "i < 7u"),
    ("linear_cross_entropy/fold", "abs(x) + abs(x)", "abs(x)"),
    ("linear_cross_entropy/fold", "select(size, -size, x < 0.0)", "size"),
    ("linear_cross_entropy/gradient", "- expected", ""),
    ("linear_cross_entropy/gradient", "- lse[row]", ""),
    ("linear_cross_entropy/gradient", "weight * (exp", "(exp"),
    ("linear_cross_entropy/gradient", "(1.0 - share * share)", "1.0"),
    ("linear_cross_entropy/gradient", "params.first + i % params.count", "i % params.count"),
    ("linear_cross_entropy/gradient", "select(0.0, gradient, weight != 0.0)", "gradient + 1e-3"),
    ("linear_cross_entropy/gradient", "i / params.count", "i % params.count"),
    ("mse/forward", "difference * difference", "abs(difference)"),
    ("mse/forward", "weights[row] * sum", "sum"),
    ("mse/backward_input", "(weight + weight)", "weight"),
];
