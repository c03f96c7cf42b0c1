//! Tables by token and by position: `embedding` and `rope`.

use loralab_core::graph::{
    memory::{Group, InputName, Weight},
    ops::Rotary,
    tape::{Positions, Tape},
};

use super::{Case, Mutant, Stored, tensor, trained_rows};

pub fn rope() -> Vec<Case> {
    let case = |heads: usize, head_size: usize, pairs: usize, shape: [usize; 2], positions: Positions| {
        let what = format!("rope of {heads} heads, {pairs} pairs of {head_size} features, {positions:?}, {shape:?}");
        Case::new(what, shape, move |tape| {
            let frequencies = (0..pairs).map(|pair| 1.0 / (1.0 + pair as f64)).collect();
            let rotary = Rotary { frequencies, factor: 1.25 };
            tape.positions(positions);
            let x = trained_rows(tape, heads * head_size);
            let y = tape.rope(x, head_size, &rotary);
            let z = tape.rope(x, head_size, &rotary);
            let sum = tape.add(y, z);
            tape.mse(sum);
        })
    };
    let (index, given) = (Positions::ByIndex, Positions::Given);
    vec![
        case(1, 2, 1, [2, 3], index),
        case(3, 6, 3, [2, 5], given),
        case(2, 24, 12, [1, 17], index),
        case(2, 11, 3, [3, 7], index),
        case(3, 9, 4, [2, 13], given),
    ]
}

pub fn embedding() -> Vec<Case> {
    let case = |width: usize, vocabulary: usize, shape: [usize; 2], stored: Stored| {
        let what = format!("embedding of {vocabulary} × {width}, {stored:?}, {shape:?}");
        let record = move |tape: &mut Tape| {
            let table = tape.parameter("table", [vocabulary, width], Group::Matrix);
            let x = tape.embedding(Weight::Trained(table), width);
            let y = tape.embedding_of(InputName::Tokens, Weight::Frozen(0), width, 1.75);
            let again = tape.embedding_of(InputName::Tokens, Weight::Trained(table), width, 0.3);
            let sum = tape.add(x, y);
            let sum = tape.add(sum, again);
            // Ids that begin behind the first rows of a table.
            let long = tape.parameter("long", [shape[1] + 2, width], Group::Matrix);
            let late = tape.position_embedding(Weight::Trained(long), 2, width);
            let frozen = tape.position_embedding(Weight::Frozen(1), 2, width);
            let sum = tape.add(sum, late);
            let sum = tape.add(sum, frozen);
            // Tied: the table gets a gradient from three ops.
            let logits = tape.linear(sum, Weight::Trained(table), None, vocabulary);
            tape.cross_entropy(logits);
        };
        let case = Case::new(what, shape, record)
            .over(vec![tensor("table", [vocabulary, width], stored), tensor("longer", [shape[1] + 2, width], stored)]);
        Case { vocabulary: vocabulary as u32, ..case }
    };
    vec![case(1, 2, [1, 3], Stored::F32), case(9, 7, [3, 11], Stored::F16), case(33, 70, [2, 5], Stored::Bf16)]
}

/// Broken kernels.
pub const MUTANTS: &[Mutant] = &[
    ("embedding/forward", "row / params.rows_per_run * params.weight_stride", "0u"),
    ("embedding/forward", "tokens[row] - params.first", "tokens[0] - params.first"),
    ("embedding/forward", "tokens[row] - params.first", "tokens[row]"),
    ("embedding/forward", "token < params.count", "true"),
    ("embedding/backward_weight", "tokens[row] == token", "tokens[row] != token"),
    ("embedding/backward_weight", "i / params.width % params.vocabulary", "i / params.width"),
    ("embedding/forward", " * params.scale", ""),
    ("embedding/backward_weight", " * params.scale", ""),
    ("rope/rotate", "params.back == 1u", "params.back == 0u"),
    ("rope/rotate", "row % params.tokens", "head % params.tokens"),
    ("rope/rotate", "+ x[low] * sine", "- x[low] * sine"),
    ("rope/rotate", "params.add == 1u", "params.add == 2u"),
    ("rope/rotate", "positions[row]", "positions[0]"),
    ("rope/rotate", "GIVEN == 1u", "GIVEN == 2u"),
    ("rope/rotate", "put(high, x[high]);", "put(low, x[low]);"),
    ("rope/rotate", "head * params.head_size", "head * 2u * params.half"),
];
