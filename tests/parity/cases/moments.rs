//! `moments`.

use loralab_core::graph::{
    memory::Weight,
    tape::{Purpose, Tape},
};

use super::{Case, Mutant, Stored, tensor, trained_rows};

/// Two values of a model, with themselves or with a code, of which the second's sums stand behind the first's.
pub fn moments() -> Vec<Case> {
    let case = |[inputs, other]: [usize; 2], codes: Option<usize>, shape: [usize; 2]| {
        let what = format!("moments of {inputs} and {other} columns, codes {codes:?}, {shape:?}");
        let record = move |tape: &mut Tape| {
            let x = trained_rows(tape, inputs);
            let y = tape.linear(x, Weight::Frozen(0), None, other);
            tape.observe(x, "x");
            tape.observe(y, "y");
        };
        let case = Case::new(what, shape, record).over(vec![tensor("w", [other, inputs], Stored::F32)]);
        Case { purpose: Some(Purpose::Moments(codes)), ..case }
    };
    vec![
        case([1, 3], None, [1, 1]),
        case([7, 5], None, [2, 9]),
        case([63, 70], None, [1, 35]),
        case([5, 130], Some(1), [3, 7]),
        case([9, 40], Some(66), [2, 20]),
    ]
}

/// Broken kernels.
pub const MUTANTS: &[Mutant] = &[
    ("moments/forward", "+= value;", "= value;"),
    ("moments/forward", "params.offset + c", "c"),
    ("moments/forward", "run * params.stride", "params.stride"),
    ("moments/forward", "weights[row] * select", "select"),
    ("moments/forward", "n < params.rows", "n + 1u < params.rows"),
    ("moments/forward", "c <= params.codes", "c < params.codes"),
    ("moments/forward", "own == vec4", "own > vec4"),
    ("moments/forward", "let run = codes.x / count;", "let run = 0u;"),
    ("moments/forward", "own, vec4<u32>(params.codes - 1u)", "own, vec4<u32>(0u)"),
];
