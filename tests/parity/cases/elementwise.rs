//! Ops on elements: `add`, `relu`, `swiglu`, `gelu`, `geglu`, `tanh` and `split`.

use loralab_core::graph::{
    memory::{Group, Weight},
    ops::gelu::Form,
};

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

pub fn gelu() -> Vec<Case> {
    let case = |columns: usize, shape: [usize; 2], form: Form| {
        Case::new(format!("gelu of {columns} columns, {form:?}, {shape:?}"), shape, move |tape| {
            let x = trained_rows(tape, columns);
            let y = tape.gelu(x, form);
            let again = tape.gelu(x, form);
            let sum = tape.add(y, again);
            tape.mse(sum);
        })
    };
    [Form::Erf, Form::Tanh].into_iter().flat_map(|form| [case(1, [1, 3], form), case(130, [3, 5], form)]).collect()
}

pub fn geglu() -> Vec<Case> {
    let case = |columns: usize, shape: [usize; 2], form: Form| {
        Case::new(format!("geglu of {columns} columns, {form:?}, {shape:?}"), shape, move |tape| {
            let (x, features) = (trained_rows(tape, columns), tape.features(4));
            let matrix = tape.parameter("up", [columns, 4], Group::Matrix);
            let up = tape.linear(features, Weight::Trained(matrix), None, columns);
            let gated = tape.geglu(x, up, form);
            let again = tape.geglu(up, x, form);
            let sum = tape.add(gated, again);
            tape.mse(sum);
        })
    };
    [Form::Erf, Form::Tanh].into_iter().flat_map(|form| [case(1, [1, 3], form), case(37, [3, 7], form)]).collect()
}

pub fn tanh() -> Vec<Case> {
    let case = |columns: usize, shape: [usize; 2], cap: f64| {
        Case::new(format!("tanh of {columns} columns with a cap of {cap}, {shape:?}"), shape, move |tape| {
            let x = trained_rows(tape, columns);
            let y = tape.softcap(x, cap);
            let again = tape.softcap(x, cap);
            let sum = tape.add(y, again);
            tape.mse(sum);
        })
    };
    vec![case(1, [1, 3], 1.0), case(65, [3, 5], 1.0), case(37, [2, 7], 0.3), case(37, [2, 7], 30.0)]
}

pub fn split() -> Vec<Case> {
    let case = |columns: usize, shape: [usize; 2]| {
        Case::new(format!("split into 3 × {columns} columns, {shape:?}"), shape, move |tape| {
            let x = trained_rows(tape, 3 * columns);
            let parts = tape.split(x, 3);
            // Cut twice, so that the gradients of the second are added to those of the first.
            let again = tape.split(x, 3);
            let left = tape.swiglu(parts[0], again[1]);
            let middle = tape.swiglu(parts[1], again[2]);
            let right = tape.swiglu(parts[2], again[0]);
            let sum = tape.add(left, middle);
            let sum = tape.add(sum, right);
            tape.mse(sum);
        })
    };
    vec![case(1, [1, 3]), case(37, [3, 7])]
}

/// Broken kernels.
pub const MUTANTS: &[Mutant] = &[
    ("split/forward", "+ params.first", ""),
    ("split/forward", "i % params.columns", "i % params.wide"),
    ("split/backward_input", "+ params.first", ""),
    ("split/backward_input", "params.add == 1u", "params.add == 2u"),
    ("split/backward_input", "dx[at] = dy[i]", "dx[at] = dy[at]"),
    ("swiglu/forward", "exp(-x)", "exp(x)"),
    ("swiglu/backward_input", "(1.0 - sigmoid)", "sigmoid"),
    ("swiglu/backward_input", "params.add_up == 1u", "params.add_gate == 0u"),
    ("relu/forward", "x <= 0.0", "x <= 0.5"),
    ("relu/backward_input", "x > 0.0", "x < 0.0"),
    ("relu/backward_input", "params.add == 1u", "params.add == 2u"),
    ("add/forward", "a[i] + b[i]", "a[i] - b[i]"),
    ("gelu/forward", "select(tail, 1.0 - tail, x > 0.0)", "tail"),
    ("gelu/forward", "size * size * 0.5", "size * size"),
    ("gelu/forward", "p * t - 0.0447209", "p * t + 0.0447209"),
    ("gelu/forward", "size * 0.34", "size * 0.33"),
    ("gelu/forward", "FORM == 1u", "FORM == 0u"),
    ("gelu/forward", "exp(-(x *", "exp((x *"),
    ("gelu/backward_input", "share.x + x * share.y", "share.x"),
    ("gelu/backward_input", "bell * 0.3989423", "bell"),
    ("gelu/backward_input", "(square + square + square)", "square"),
    ("gelu/backward_input", "(1.0 - sigmoid) * slope", "slope"),
    ("gelu/backward_input", "dy * gelu(x).y", "gelu(x).y"),
    ("gelu/backward_input", "params.add == 1u", "params.add == 2u"),
    ("geglu/forward", "activation(gate[i]).x * up[i]", "activation(up[i]).x * gate[i]"),
    ("geglu/forward", "abs(x) > 14.0", "abs(x) > 1.0"),
    ("geglu/backward_input", "dy[i] * up[i] * values.y", "dy[i] * values.y"),
    ("geglu/backward_input", "dy[i] * values.x", "dy[i] * values.y"),
    ("geglu/backward_input", "params.add_up == 1u", "params.add_gate == 0u"),
    ("tanh/forward", "x[i] / params.cap", "x[i]"),
    ("tanh/forward", "params.cap * hyperbolic", "hyperbolic"),
    ("tanh/forward", "size < 0.625", "size < 0.0625"),
    ("tanh/forward", "size < 0.625", "size < 16.0"),
    ("tanh/forward", "select(value, -value, x < 0.0)", "value"),
    ("tanh/forward", "exp(size + size)", "exp(size)"),
    ("tanh/backward_input", "(1.0 - t) * (1.0 + t)", "1.0 - t"),
    ("tanh/backward_input", "y[i] / params.cap", "y[i]"),
    ("tanh/backward_input", "params.add == 1u", "params.add == 2u"),
];
