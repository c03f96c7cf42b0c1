//! Matrix products and what is added to them: `linear`, `lora_linear`, `dropout` and `bias`.

use loralab_core::graph::{
    memory::{Group, LowRank, Weight},
    tape::Tape,
};

use super::{Case, Mutant, Stored, tensor, trained_rows};

pub fn linear() -> Vec<Case> {
    let mut cases = Vec::new();
    for (stored, [inputs, outputs], shape) in [
        (Stored::F32, [5, 3], [1, 7]),
        (Stored::F16, [70, 65], [5, 13]),
        (Stored::Bf16, [16, 130], [2, 64]),
        (Stored::F16, [1, 1], [1, 1]),
        (Stored::Bf16, [33, 17], [3, 23]),
        (Stored::F32, [139, 150], [3, 50]),
        (Stored::Int8, [70, 65], [5, 13]),
        (Stored::Int8, [139, 150], [3, 50]),
        (Stored::Nf4, [33, 17], [3, 23]),
        (Stored::Nf4, [70, 65], [2, 9]),
        (Stored::Nf4, [96, 150], [3, 50]),
    ] {
        let what = format!("linear {inputs} → {outputs}, {stored:?}, {shape:?}");
        // A trained layer beneath, so that the frozen one has a gradient to pass on; and the sum, so that it has to add to one.
        let record = move |tape: &mut Tape| {
            let x = trained_rows(tape, inputs);
            let y = tape.linear(x, Weight::Frozen(0), None, outputs);
            let other = tape.linear(x, Weight::Frozen(0), None, outputs);
            let sum = tape.add(y, other);
            // One that is not the first thing trained.
            let last = tape.parameter("last", [3, outputs], Group::Matrix);
            let y = tape.linear(sum, Weight::Trained(last), None, 3);
            tape.mse(y);
        };
        cases.push(Case::new(what, shape, record).over(vec![tensor("w", [outputs, inputs], stored)]));
    }
    cases
}

pub fn lora_linear() -> Vec<Case> {
    let mut cases = Vec::new();
    for (stored, [inputs, outputs], rank, shape, frozen_pairs) in [
        (Stored::F32, [5, 3], 1, [1, 7], true),
        (Stored::F16, [70, 65], 8, [5, 13], false),
        (Stored::Bf16, [32, 130], 17, [2, 40], true),
        (Stored::F32, [33, 64], 3, [3, 23], false),
        (Stored::F16, [40, 35], 9, [1, 33], true),
        (Stored::F32, [6, 9], 2, [3, 50], false),
        (Stored::Bf16, [139, 150], 11, [3, 50], true),
        (Stored::Int8, [40, 35], 9, [1, 33], true),
        (Stored::Int8, [135, 150], 11, [3, 50], false),
        (Stored::Nf4, [32, 150], 17, [2, 40], true),
        (Stored::Nf4, [137, 65], 8, [5, 13], false),
    ] {
        let what =
            format!("lora_linear {inputs} → {outputs} of rank {rank}, {stored:?}, pairs {frozen_pairs}, {shape:?}");
        let record = move |tape: &mut Tape| {
            let x = trained_rows(tape, inputs);
            let y = tape.lora_linear(x, Weight::Frozen(0), None, outputs, rank, "first");
            let other = LowRank { rank: rank + 1, factor: 0.3 };
            let other = tape.lora_linear(x, Weight::Frozen(0), None, outputs, other, "second");
            let sum = tape.add(y, other);
            tape.mse(sum);
        };
        let case = Case::new(what, shape, record).over(vec![tensor("w", [outputs, inputs], stored)]);
        cases.push(Case { frozen_pairs, ..case });
    }
    cases
}

/// Adapters whose inputs are dropped, each by a mask of its own.
pub fn dropout() -> Vec<Case> {
    let case = |op: &str, [inputs, outputs]: [usize; 2], shape: [usize; 2], frozen_pairs: bool, probability: f64| {
        let what = format!("{op} {inputs} → {outputs} with dropout of {probability}, pairs {frozen_pairs}, {shape:?}");
        let record = move |tape: &mut Tape| {
            tape.dropout(probability);
            let x = trained_rows(tape, inputs);
            let y = tape.lora_linear(x, Weight::Frozen(0), None, outputs, 3, "first");
            let other = tape.lora_linear(x, Weight::Frozen(0), None, outputs, 3, "second");
            let sum = tape.add(y, other);
            tape.mse(sum);
        };
        let case = Case::new(what, shape, record).over(vec![tensor("w", [outputs, inputs], Stored::F32)]);
        Case { frozen_pairs, ..case }
    };
    vec![
        case("lora_linear", [33, 20], [2, 23], true, 0.4),
        case("dropout", [1, 3], [1, 3], false, 0.5),
        case("dropout", [10, 7], [2, 9], true, 0.1),
        case("dropout", [139, 5], [1, 11], false, 0.9),
    ]
}

pub fn bias() -> Vec<Case> {
    let mut cases = Vec::new();
    for (stored, outputs, shape) in
        [(Stored::F32, 1, [1, 1]), (Stored::F16, 13, [2, 7]), (Stored::Bf16, 65, [3, 5]), (Stored::F32, 200, [1, 9])]
    {
        let what = format!("bias of {outputs} columns, {stored:?}, {shape:?}");
        let record = move |tape: &mut Tape| {
            let x = trained_rows(tape, 6);
            let [own, last] = ["own", "last"].map(|name| tape.parameter(name, [1, outputs], Group::Gain));
            let y = tape.linear(x, Weight::Frozen(0), Some(Weight::Frozen(1)), outputs);
            let z = tape.linear(x, Weight::Frozen(0), Some(Weight::Trained(own)), outputs);
            let adapted = tape.lora_linear(x, Weight::Frozen(0), Some(Weight::Trained(last)), outputs, 2, "adapter");
            let sum = tape.add(y, z);
            let sum = tape.add(sum, adapted);
            tape.mse(sum);
        };
        let base = vec![tensor("w", [outputs, 6], Stored::F32), tensor("b", [1, outputs], stored)];
        cases.push(Case::new(what, shape, record).over(base));
    }
    cases
}

/// Broken kernels.
pub const MUTANTS: &[Mutant] = &[
    ("linear/forward", "i < params.inputs", "i + 1u < params.inputs"),
    ("linear/forward", "four_from(o, params.outputs)", "four_from(o, params.outputs - 1u)"),
    ("linear/forward", "start += 16u", "start += 32u"),
    ("linear/forward", "k < 16u", "k < 15u"),
    ("linear/forward", "rows.w * columns)", "rows.z * columns)"),
    ("linear/forward", "        workgroupBarrier();\n        if", "        if"),
    (
        "linear/forward",
        "rows_from(tile.run, first_row + tile.left_four * 4u)",
        "rows_from(tile.run, tile.left_four * 4u)",
    ),
    ("linear/forward", "values[2]", "values[1]"),
    ("linear/forward", "column < params.outputs", "column <= params.outputs"),
    ("linear/forward", "bits << 16u", "bits << 15u"),
    ("linear/forward", "magnitude < 0x400u", "magnitude < 0x000u"),
    ("linear/forward", "0x38000000u", "0x37800000u"),
    ("linear/forward", "(index & 1u) << 4u", "(~index & 1u) << 4u"),
    ("linear/forward", "select(value, -value, ", "select(value, value, "),
    ("linear/forward", "(index >> 6u) * 9u", "(index >> 6u) * 8u"),
    ("linear/forward", "(index >> 3u) & 7u", "(index >> 3u) & 3u"),
    ("linear/forward", "(index & 7u) << 2u", "(index & 7u) << 1u"),
    ("linear/forward", "0.33791524171829224)", "0.3389)"),
    ("linear/forward", "(code & 8u) != 0u", "(code & 8u) == 0u"),
    ("linear/forward", "select(four.xy, four.zw,", "select(four.zw, four.xy,"),
    ("linear/forward", "bitcast<f32>(w[block + 8u])", "bitcast<f32>(w[8u])"),
    ("linear/forward", "(columns + 3u) / 4u + 1u", "columns / 4u + 1u"),
    ("linear/forward", "w[row + 1u + (column", "w[row + (column"),
    ("linear/forward", "(~column & 3u) << 3u", "(column & 3u) << 3u"),
    ("linear/forward", "0.007874015748031496", "0.0078125"),
    ("linear/forward", "bitcast<f32>(w[row])", "bitcast<f32>(w[0u])"),
    ("linear/backward_input", "index % columns", "index % (columns + 1u)"),
    ("lora_linear/forward", "FORMAT == 3u", "FORMAT == 2u"),
    ("lora_linear/backward_input", "index / columns *", "index / (columns + 1u) *"),
    ("linear/forward", "tile.run = group.z;", "tile.run = 0u;"),
    ("linear/forward", "params.first + column", "column"),
    ("linear/backward_input", "params.first + min(o", "min(o"),
    ("lora_linear/forward", "params.first + column", "column"),
    ("lora_linear/backward_input", "params.first + min(term", "min(term"),
    ("linear/backward_input", "params.add == 1u", "params.add == 2u"),
    ("linear/backward_input", "params.add == 1u", "params.add != 2u"),
    ("linear/backward_input", "start + tile.left_term)", "tile.left_term)"),
    ("linear/backward_input", "tile.right_four = select(local % 16u,", "tile.right_four = select(local / 16u,"),
    ("linear/backward_input", "start < end", "start + 16u < end"),
    ("linear/backward_weight", "+= value;", "= value;"),
    ("linear/backward_weight", "params.offset + row", "row"),
    ("linear/backward_weight", "run * params.stride", "params.stride"),
    ("linear/backward_weight", "n < params.rows", "n + 1u < params.rows"),
    ("linear/backward_weight", "four_from(o, params.outputs)", "four_from(o, params.outputs - 1u)"),
    ("linear/forward_large", "start += 16u", "start += 32u"),
    ("linear/forward_large", "k < count", "k + 1u < count"),
    ("linear/forward_large", "term & 7u", "four & 7u"),
    ("linear/forward_large", "four_from(n, params.rows)", "four_from(n, params.rows - 1u)"),
    ("linear/forward_large", "four_from(o, params.outputs)", "four_from(o, params.outputs - 1u)"),
    ("linear/forward_large", "i < params.inputs", "true"),
    ("linear/forward_large", "first_row + 64u + tile.left_four", "first_row + 32u + tile.left_four"),
    ("linear/forward_large", "column + tile.four_step * 8u", "column"),
    ("linear/forward_large", "far3 += outer(left3, far)", "far3 += outer(left2, far)"),
    ("linear/forward_large", "near1 += outer(left1, near)", "near1 += outer(left0, near)"),
    ("linear/forward_large", "rows.y * columns", "rows.x * columns"),
    ("linear/forward_large", "row + 96u, to_column", "row + 95u, to_column"),
    ("linear/forward_large", "row + 2u, column, values[2]", "row + 2u, column, values[3]"),
    ("linear/forward_large", "to_column + 64u, sum.far1", "to_column + 65u, sum.far1"),
    ("linear/forward_large", "group.y * 128u", "group.y * 129u"),
    ("linear/forward_large", "group.x * COLUMNS", "group.x * (COLUMNS + 1u)"),
    ("linear/forward_large", "group.x * COLUMNS", "group.x * 128u"),
    ("linear/forward_large", "        workgroupBarrier();\n        let", "        let"),
    (
        "linear/backward_input_large",
        "COLUMNS == 128u {\n            load_right",
        "COLUMNS == 129u {\n            load_right",
    ),
    ("linear/backward_input_large", "select(local % fours,", "select(local / 4u,"),
    ("linear/backward_input_large", "start < end", "start + 16u < end"),
    ("linear/backward_input_large", "o < params.outputs", "true"),
    ("linear/backward_input_large", "tile.term_step * vector", "tile.term_step"),
    ("linear/backward_input_large", "four_from(i, params.inputs)", "vec4<u32>(0u)"),
    ("linear/backward_input_large", "params.add == 1u", "params.add == 2u"),
    ("linear/backward_input_large", "left[place(k, 16u + tile.row)]", "left[place(k, 15u + tile.row)]"),
    ("lora_linear/down", "start += 32u", "start += 64u"),
    ("lora_linear/down", "let rows = step * 2u + part", "let rows = step * 2u"),
    ("lora_linear/down", "params.scaled == 1u", "params.scaled == 0u"),
    ("lora_linear/down", "settings[run * 4u]", "settings[0u]"),
    ("lora_linear/down", " * params.factor", ""),
    ("lora_linear/backward_adapter", " * params.factor", ""),
    ("lora_linear/down", "run * params.run_stride", "0u"),
    ("lora_linear/down", "min(4u, params.rank - min(r, params.rank))", "3u"),
    ("lora_linear/down", "min(n, params.rows - 1u)", "min(n, params.rows - 2u)"),
    ("lora_linear/down", "min(r, params.rank - 1u)", "0u"),
    ("lora_linear/down", "let inside = start + term < params.inputs;", "let inside = true;"),
    ("lora_linear/down", "let k = step * 8u + share", "let k = step * 8u"),
    ("lora_linear/down", "other < 8u", "other < 7u"),
    ("lora_linear/down", "shares[place + 3u] = high1", "shares[place + 3u] = low1"),
    ("lora_linear/down", "high2 += rows.z * high", "high2 += rows.y * high"),
    ("lora_linear/forward", "settings[tile.run * 4u] * params.factor", "params.factor"),
    ("lora_linear/forward", "settings[tile.run * 4u] * params.factor", "settings[tile.run * 4u]"),
    ("lora_linear/forward", "plus(low, -1.0,", "plus(low, 1.0,"),
    ("lora_linear/forward", "PAIRS == 1u", "PAIRS == 2u"),
    ("lora_linear/forward", "run * params.run_stride", "0u"),
    ("lora_linear/forward", "params.b_offset + at", "params.b_offset + 1u + at"),
    ("lora_linear/forward", "start < end", "start + 16u < end"),
    ("lora_linear/forward", "rows.x * columns", "rows.y * columns"),
    ("lora_linear/forward", "min(16u, end - start)", "min(15u, end - start)"),
    ("lora_linear/backward_input", "-vec4<f32>(frozen_dz", "vec4<f32>(frozen_dz"),
    ("lora_linear/backward_input", "run * params.run_stride", "0u"),
    ("lora_linear/backward_input", "params.add == 1u", "params.add == 2u"),
    (
        "lora_linear/backward_input",
        "min(term, terms(source) - 1u) * params.inputs + columns",
        "columns * terms(source) + min(term, terms(source) - 1u)",
    ),
    ("lora_linear/backward_adapter", "other < 8u", "other < 7u"),
    ("lora_linear/backward_adapter", "step < 16u", "step < 15u"),
    ("lora_linear/backward_adapter", "let n = step * 8u + share", "let n = step * 8u"),
    ("lora_linear/backward_adapter", "column_stride] += value", "column_stride] = value"),
    ("lora_linear/backward_adapter", "min(n, params.rows - 1u)", "min(n, params.rows - 2u)"),
    ("lora_linear/backward_adapter", "min(r, params.rank - 1u)", "0u"),
    ("lora_linear/backward_adapter", "min(column, params.columns - 1u)", "0u"),
    ("lora_linear/backward_adapter", "column < params.columns", "column + 1u < params.columns"),
    ("lora_linear/backward_adapter", "sum6 += high.z * columns", "sum6 += high.y * columns"),
    ("lora_linear/backward_adapter", "column + 16u, sum.z", "column + 24u, sum.z"),
    ("lora_linear/backward_adapter", "n < params.rows);", "true);"),
    ("lora_linear/forward_large", "factor * others.far1", "others.far1"),
    ("lora_linear/forward_large", "some.far2 + factor", "some.far2 - factor"),
    ("lora_linear/forward_large", "params.b_offset + at", "at"),
    ("lora_linear/forward_large", "start, 2u, tile.columns2", "start, 2u, tile.columns1"),
    ("lora_linear/forward_large", "PAIRS == 1u", "PAIRS == 2u"),
    ("lora_linear/forward_large", "product(FROZEN,", "product(ADAPTER,"),
    ("lora_linear/forward_large", "near2 += outer(left2", "near2 += outer(left1"),
    ("lora_linear/forward_large", "far3 += outer(left3, far)", "far3 += outer(left3, near)"),
    ("lora_linear/forward_large", "near1 += outer(left1", "near1 += outer(left0"),
    ("lora_linear/backward_input_large", "product(FROZEN, tile, sum)", "product(FROZEN, tile, Sums())"),
    ("lora_linear/backward_input_large", "-vec4<f32>(frozen_dz", "vec4<f32>(frozen_dz"),
    ("lora_linear/backward_input_large", "start, 2u, tile.rows2", "start, 2u, tile.rows0"),
    ("lora_linear/backward_input_large", "min(16u, end - start)", "min(15u, end - start)"),
    ("lora_linear/backward_input_large", "min(term, terms(source) - 1u) * params.inputs", "0u * params.inputs"),
    ("lora_linear/backward_input_large", "params.add == 1u", "params.add == 2u"),
    ("lora_linear/backward_input", "DROPS == 0u", "DROPS != 2u"),
    ("lora_linear/backward_input_large", "DROPS == 0u", "DROPS != 2u"),
    ("dropout/mask", "word < params.threshold", "word > params.threshold"),
    ("dropout/mask", "x[at] * params.factor", "x[at]"),
    ("dropout/mask", "== OFF", "!= OFF"),
    ("dropout/mask", "params.site", "0u"),
    ("dropout/mask", "noise[row * 4u + 2u]", "0u"),
    ("dropout/mask", "noise[row * 4u + 1u])", "0u)"),
    ("dropout/mask", "vec4<u32>(i % across,", "vec4<u32>(i,"),
    ("dropout/mask", "column + 2u, words.z", "column + 2u, words.y"),
    ("dropout/mask", "round < 10u", "round < 9u"),
    ("dropout/mask", "params.add == 1u", "params.add == 2u"),
    ("bias/forward", "x[i] + weight(", "x[i] - weight("),
    ("bias/forward", "i % params.width", "i / params.width"),
    ("bias/forward", "run * params.weight_stride", "0u"),
    ("bias/forward", "params.weight_offset + run", "run"),
    ("bias/backward_weight", "var sum = gradients[at];", "var sum = 0.0;"),
    ("bias/backward_weight", "row * params.width + column", "row * params.width"),
    ("bias/backward_weight", "run * params.stride", "0u"),
];
