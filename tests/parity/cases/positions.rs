//! Tables by token and by position: `embedding` and `rope`.

use loralab_core::graph::{
    memory::{Group, Weight},
    tape::Tape,
};

use super::{Case, Mutant, Stored, tensor, trained_rows};

pub fn rope() -> Vec<Case> {
    let case = |heads: usize, head_size: usize, shape: [usize; 2]| {
        let what = format!("rope of {heads} heads, {head_size} features, {shape:?}");
        let tokens = shape[1];
        Case::new(what, shape, move |tape| {
            let half = head_size / 2;
            let angle = |index: usize| (index / half) as f64 / (1.0 + (index % half) as f64);
            let table = tape.table((0..tokens * half).map(|index| angle(index).cos()).collect());
            tape.table((0..tokens * half).map(|index| angle(index).sin()).collect());
            let x = trained_rows(tape, heads * head_size);
            let y = tape.rope(x, head_size, table);
            let z = tape.rope(x, head_size, table);
            let sum = tape.add(y, z);
            tape.mse(sum);
        })
    };
    vec![case(1, 2, [2, 3]), case(3, 6, [2, 5]), case(2, 24, [1, 17])]
}

pub fn embedding() -> Vec<Case> {
    let case = |width: usize, vocabulary: usize, shape: [usize; 2], stored: Stored| {
        let what = format!("embedding of {vocabulary} × {width}, {stored:?}, {shape:?}");
        let record = move |tape: &mut Tape| {
            let table = tape.parameter("table", [vocabulary, width], Group::Matrix);
            let x = tape.embedding(Weight::Trained(table), width);
            let y = tape.embedding(Weight::Frozen(0), width);
            let sum = tape.add(x, y);
            // Tied: the table gets a gradient from two ops.
            let logits = tape.linear(sum, Weight::Trained(table), None, vocabulary);
            tape.cross_entropy(logits);
        };
        let case = Case::new(what, shape, record).over(vec![tensor("table", [vocabulary, width], stored)]);
        Case { vocabulary: vocabulary as u32, ..case }
    };
    vec![case(1, 2, [1, 3], Stored::F32), case(9, 7, [3, 11], Stored::F16), case(33, 70, [2, 5], Stored::Bf16)]
}

/// Broken kernels.
pub const MUTANTS: &[Mutant] = &[
    ("embedding/forward", "row / params.rows_per_run * params.weight_stride", "0u"),
    ("embedding/forward", "tokens[row] * params.width", "tokens[0] * params.width"),
    ("embedding/backward_weight", "tokens[row] == token", "tokens[row] != token"),
    ("embedding/backward_weight", "i / params.width % params.vocabulary", "i / params.width"),
    ("rope/rotate", "params.back == 1u", "params.back == 0u"),
    ("rope/rotate", "head / params.heads % params.tokens", "head % params.tokens"),
    ("rope/rotate", "+ x[low] * sine", "- x[low] * sine"),
    ("rope/rotate", "params.add == 1u", "params.add == 2u"),
];
