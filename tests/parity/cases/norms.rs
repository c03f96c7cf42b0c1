//! Norms of rows: `rms_norm`, `layer_norm` and `orthonormal`.

use loralab_core::graph::{
    memory::{Data, Group, Tensor, Weight},
    ops::{Gain, Offset},
    tape::Tape,
};

use super::{Case, Mutant, Stored, tensor, trained_rows};
use crate::parity::normal;

pub fn rms_norm() -> Vec<Case> {
    let mut cases = Vec::new();
    for (width, shape, stored) in [
        (1, [1, 3], Stored::F32),
        (7, [2, 5], Stored::F16),
        (64, [1, 9], Stored::Bf16),
        (65, [3, 3], Stored::F16),
        (200, [1, 2], Stored::F32),
    ] {
        let what = format!("rms_norm of {width} columns, {stored:?}, {shape:?}");
        let record = move |tape: &mut Tape| {
            let x = trained_rows(tape, width);
            let gain = tape.parameter("gain", [1, width], Group::Gain);
            let y = tape.rms_norm(x, Weight::Frozen(0), 1e-5);
            let z = tape.rms_norm(x, Weight::Trained(gain), 1e-3);
            let sum = tape.add(y, z);
            tape.mse(sum);
        };
        cases.push(Case::new(what, shape, record).over(vec![tensor("gain", [1, width], stored)]));
    }
    cases
}

/// Norms of every head of a row, and gains of which one more counts.
pub fn head_norm() -> Vec<Case> {
    let mut cases = Vec::new();
    for (heads, width, shape, stored) in
        [(3, 1, [1, 3], Stored::F32), (2, 7, [2, 5], Stored::F16), (4, 70, [1, 9], Stored::Bf16)]
    {
        let what = format!("rms_norm of {heads} heads of {width} columns, {stored:?}, {shape:?}");
        let record = move |tape: &mut Tape| {
            let x = trained_rows(tape, heads * width);
            let own = tape.parameter("gain", [1, width], Group::Gain);
            let one_more = |weight| Gain { weight, offset: Offset::One };
            let y = tape.head_norm(x, one_more(Weight::Frozen(0)), width, 1e-5);
            let z = tape.head_norm(x, one_more(Weight::Trained(own)), width, 1e-3);
            let plain = tape.head_norm(x, Weight::Frozen(0), width, 1e-5);
            let sum = tape.add(y, z);
            let sum = tape.add(sum, plain);
            tape.mse(sum);
        };
        cases.push(Case::new(what, shape, record).over(vec![tensor("gain", [1, width], stored)]));
    }
    cases
}

pub fn layer_norm() -> Vec<Case> {
    let mut cases = Vec::new();
    for (width, shape, stored) in [
        (1, [1, 3], Stored::F32),
        (7, [2, 5], Stored::F16),
        (64, [1, 9], Stored::Bf16),
        (65, [3, 3], Stored::F16),
        (200, [1, 2], Stored::F32),
    ] {
        let what = format!("layer_norm of {width} columns, {stored:?}, {shape:?}");
        let record = move |tape: &mut Tape| {
            let x = trained_rows(tape, width);
            let [gain, shift] = ["gain", "shift"].map(|name| tape.parameter(name, [1, width], Group::Gain));
            let y = tape.layer_norm(x, Weight::Frozen(0), None, 1e-5);
            let z = tape.layer_norm(x, Weight::Trained(gain), Some(Weight::Trained(shift)), 1e-3);
            let sum = tape.add(y, z);
            tape.mse(sum);
        };
        cases.push(Case::new(what, shape, record).over(vec![tensor("gain", [1, width], stored)]));
    }
    cases
}

/// Rows from nowhere in particular; ones so close together that once over each would not do; and ones that depend on each other.
pub fn orthonormal() -> Vec<Case> {
    let case = |what: String, rows: usize, width: usize, base: Vec<Tensor>| {
        let record = move |tape: &mut Tape, inputs: Option<usize>| {
            let mut x = tape.features(inputs.unwrap_or(width));
            if inputs.is_some() {
                x = tape.linear(x, Weight::Frozen(0), None, width);
            }
            let y = tape.orthonormal(x);
            let last = tape.parameter("last", [3, width], Group::Matrix);
            let y = tape.linear(y, Weight::Trained(last), None, 3);
            tape.mse(y);
        };
        let inputs = base.first().map(|tensor| tensor.shape[1]);
        Case::new(what, [1, rows], move |tape| record(tape, inputs)).over(base)
    };
    let shapes = [[1, 1], [2, 3], [5, 7], [6, 9], [8, 64], [9, 65], [17, 300], [40, 139], [3, 1000]];
    let drawn = shapes.map(|[rows, width]| case(format!("orthonormal {rows} rows of {width}"), rows, width, vec![]));
    let bundle = |rank: usize, width: usize| {
        let mut values = normal("bundle", 1.0, width * rank);
        values.iter_mut().step_by(rank).for_each(|x| *x *= 100.0);
        Tensor { name: "bundle".to_owned(), shape: [width, rank], data: Data::F32(values.into()) }
    };
    let close = case("orthonormal rows in a bundle".to_owned(), 4, 300, vec![bundle(4, 300)]);
    let [one, two] = [1, 2].map(|rank| {
        case(format!("orthonormal rows of rank {rank}"), 11, 70, vec![tensor("rank", [70, rank], Stored::F32)])
    });
    let zeros = Tensor { name: "zeros".to_owned(), shape: [70, 3], data: Data::F32(vec![0.0; 210].into()) };
    let none = case("orthonormal rows of rank 0".to_owned(), 5, 70, vec![zeros]);
    drawn.into_iter().chain([close, one, two, none]).collect()
}

/// Broken kernels.
pub const MUTANTS: &[Mutant] = &[
    ("rms_norm/forward", "i += 64u", "i += 65u"),
    ("rms_norm/forward", "+ params.epsilon", ""),
    ("rms_norm/forward", "/ f32(params.width)", ""),
    ("rms_norm/forward", "i < 8u", "i < 7u"),
    ("rms_norm/forward", "shares[local * 8u + i]", "shares[local + i]"),
    ("rms_norm/forward", "* gain_at(gain + i)", ""),
    ("rms_norm/forward", "row / params.rows_per_run * params.weight_stride", "0u"),
    ("rms_norm/forward", "inverse_rms[row] = inverse", "inverse_rms[row] = 1.0 / inverse"),
    ("rms_norm/backward_input", "inverse * inverse * (", "inverse * ("),
    ("rms_norm/backward_input", "- x[start + i] * along", ""),
    ("rms_norm/backward_input", "params.add == 1u", "params.add == 2u"),
    ("rms_norm/backward_input", "/ f32(params.width)", ""),
    ("rms_norm/backward_input", "local < 8u", "local < 7u"),
    ("rms_norm/backward_input", "sum += gain_at(gain + i) * dy", "sum += dy"),
    ("rms_norm/backward_weight", "* inverse_rms[row]", ""),
    ("rms_norm/backward_weight", "var sum = gradients[at];", "var sum = 0.0;"),
    (
        "rms_norm/backward_weight",
        "row < (run + 1u) * params.rows_per_run",
        "row + 1u < (run + 1u) * params.rows_per_run",
    ),
    ("orthonormal/forward", "round < 2u", "round < 1u"),
    ("orthonormal/forward", "column += 256u", "column += 512u"),
    ("orthonormal/forward", "earlier += 8u", "earlier += 16u"),
    ("orthonormal/forward", "norm * 3.814697265625e-6", "norm * 0.0"),
    ("orthonormal/forward", "norm * 3.814697265625e-6", "norm * 0.5"),
    ("orthonormal/forward", "i < 16u", "i < 15u"),
    ("orthonormal/forward", "local < 16u", "local < 15u"),
    ("orthonormal/forward", "shares[local * 16u + i]", "shares[local + i]"),
    ("orthonormal/forward", "low_rows < vec4<u32>(row)", "low_rows <= vec4<u32>(row)"),
    ("orthonormal/forward", "high_rows < vec4<u32>(row)", "high_rows <= vec4<u32>(row)"),
    ("orthonormal/forward", "low_rows + 4u", "low_rows + 3u"),
    ("orthonormal/forward", "group.x * params.rows * width", "0u"),
    ("orthonormal/forward", "dot(high, y_at(high_starts", "dot(low, y_at(high_starts"),
    ("orthonormal/forward", "y_at(low_starts, column)) + ", "y_at(low_starts, column)) - "),
    ("orthonormal/forward", "] / left", "] / norm"),
    ("orthonormal/forward", "sqrt(square);", "square;"),
    ("orthonormal/forward", "square + taken", "square"),
    ("orthonormal/forward", "all.high += sixteenths[i].high", "all.high += sixteenths[i].low"),
    ("orthonormal/forward", "y[starts.w + column]", "y[starts.z + column]"),
    ("rms_norm/forward", "OFFSET == 1u", "OFFSET == 0u"),
    ("rms_norm/backward_input", "1.0 + w", "w"),
    ("layer_norm/forward", "i += 64u", "i += 65u"),
    ("layer_norm/forward", "+ params.epsilon", ""),
    ("layer_norm/forward", "sum += x[start + i];", "sum += abs(x[start + i]);"),
    (
        "layer_norm/forward",
        "square += (x[start + i] - center) * (x[start + i] - center)",
        "square += x[start + i] * x[start + i]",
    ),
    ("layer_norm/forward", "mean[row] = center", "mean[row] = 0.0"),
    ("layer_norm/forward", "* weight(gain + i)", ""),
    ("layer_norm/forward", "row / params.rows_per_run * params.weight_stride", "0u"),
    ("layer_norm/backward_input", "- shift", ""),
    ("layer_norm/backward_input", "inverse * inverse * (", "inverse * ("),
    ("layer_norm/backward_input", "- (x[start + i] - center) * along", ""),
    ("layer_norm/backward_input", "params.add == 1u", "params.add == 2u"),
    ("layer_norm/backward_weight", "(x[place] - mean[row])", "x[place]"),
    ("layer_norm/backward_weight", "* inverse_deviation[row]", ""),
];
