//! Ops on elements: `add`, `relu` and `swiglu`.

use super::{Case, Mutant, trained_rows};

pub fn elementwise() -> Vec<Case> {
    let case = |columns: usize, shape: [usize; 2]| {
        let what = format!("add, relu and swiglu of {columns} columns, {shape:?}");
        Case::new(what, shape, move |tape| {
            let x = trained_rows(tape, columns);
            let active = tape.relu(x);
            let gated = tape.swiglu(active, x);
            let again = tape.swiglu(x, active);
            let also = tape.relu(x);
            let sum = tape.add(gated, again);
            let sum = tape.add(sum, also);
            // Read by two sums, of which one has to add to what the other shares.
            let sum = tape.add(sum, x);
            let sum = tape.add(x, sum);
            tape.mse(sum);
        })
    };
    vec![case(1, [1, 1]), case(37, [3, 7]), case(130, [2, 5])]
}

/// Broken kernels.
pub const MUTANTS: &[Mutant] = &[
    ("swiglu/forward", "exp(-gate[i])", "exp(gate[i])"),
    ("swiglu/backward_input", "(1.0 - sigmoid)", "sigmoid"),
    ("swiglu/backward_input", "params.add_up == 1u", "params.add_gate == 0u"),
    ("relu/forward", "value <= 0.0", "value <= 0.5"),
    ("relu/backward_input", "x[i] > 0.0", "x[i] < 0.0"),
    ("relu/backward_input", "params.add == 1u", "params.add == 2u"),
    ("add/forward", "a[i] + b[i]", "a[i] - b[i]"),
];
