//! `attention`.

use loralab_core::graph::{
    memory::{Group, Value, Weight},
    ops::Attend,
    tape::{Positions, Purpose, Tape},
};

use super::{Case, Mutant, trained_rows};

pub fn attention() -> Vec<Case> {
    let plain = |heads, head_size, shape| (heads, shape, Attend::causal(head_size));
    let ruled = |heads, shape, causal, window, cap, segments, head_size| {
        let attend = Attend { causal, window, cap, segments, scale: 0.7, ..Attend::causal(head_size) };
        (heads, shape, attend)
    };
    let list = [
        plain([1, 1], 1, [2, 1]),
        plain([2, 1], 7, [2, 5]),
        plain([2, 2], 16, [1, 16]),
        plain([3, 1], 20, [2, 17]),
        plain([4, 2], 24, [1, 40]),
        plain([1, 1], 128, [1, 19]),
        plain([2, 1], 250, [1, 11]),
        // More than a workgroup's, so that tiles before and after are skipped.
        ruled([1, 1], [1, 150], true, Some(9), None, false, 3),
        ruled([2, 1], [2, 70], false, None, None, false, 5),
        ruled([2, 1], [1, 140], false, Some(20), Some(1.1), false, 2),
        ruled([2, 1], [2, 33], true, None, Some(0.4), true, 4),
        ruled([2, 2], [1, 140], false, None, None, true, 6),
        ruled([1, 1], [2, 81], true, Some(7), None, true, 3),
        ruled([1, 1], [1, 13], false, Some(5), Some(2.0), true, 256),
    ];
    let case = |([heads, kv_heads], shape, attend): ([usize; 2], [usize; 2], Attend)| {
        let what = format!("attention of {heads} heads over {kv_heads}, {shape:?}, {attend:?}");
        let record = move |tape: &mut Tape| {
            let [q, k, v] = projections(tape, [heads, kv_heads], attend.head_size);
            let y = tape.attention(q, k, v, attend);
            // Read twice, so that the gradients of the second are added to those of the first.
            let again = tape.attention(q, k, v, attend);
            let sum = tape.add(y, again);
            tape.mse(sum);
        };
        Case::new(what, shape, record)
    };
    list.into_iter().map(case).collect()
}

/// Queries, keys and values as trained maps of the same rows.
fn projections(tape: &mut Tape, [heads, kv_heads]: [usize; 2], head_size: usize) -> [Value; 3] {
    let (wide, narrow) = (heads * head_size, kv_heads * head_size);
    let x = trained_rows(tape, 9);
    [("q", wide), ("k", narrow), ("v", narrow)].map(|(name, columns)| {
        let weight = tape.parameter(name, [columns, 9], Group::Matrix);
        tape.linear(x, Weight::Trained(weight), None, columns)
    })
}

/// Rows that follow those of earlier calls, whose keys and values are in a cache.
pub fn cached() -> Vec<Case> {
    let case = |[heads, kv_heads]: [usize; 2], shape: [usize; 2], context: usize, attend: Attend| {
        let what = format!("attention from a cache of {context}, {heads} heads over {kv_heads}, {shape:?}, {attend:?}");
        let record = move |tape: &mut Tape| {
            tape.positions(Positions::Cached(context));
            let [q, k, v] = projections(tape, [heads, kv_heads], attend.head_size);
            let y = tape.attention(q, k, v, attend);
            tape.mse(y);
        };
        Case { purpose: Some(Purpose::Predict), ..Case::new(what, shape, record) }
    };
    let ruled = |head_size, window, cap| Attend { window, cap, scale: 0.7, ..Attend::causal(head_size) };
    vec![
        case([1, 1], [1, 1], 1, ruled(1, None, None)),
        case([2, 1], [2, 1], 9, ruled(7, None, None)),
        case([4, 2], [1, 5], 40, ruled(16, Some(6), None)),
        case([1, 1], [2, 70], 150, ruled(3, Some(20), Some(1.1))),
        case([3, 1], [3, 1], 33, ruled(20, Some(4), Some(0.5))),
        case([2, 1], [1, 8], 8, ruled(250, None, Some(2.0))),
    ]
}

/// Broken kernels.
pub const MUTANTS: &[Mutant] = &[
    ("cache/forward", "* params.context + position", "* params.context"),
    ("cache/forward", "row / params.tokens * params.context", "0u"),
    ("cache/forward", "position < params.context", "position + 1u < params.context"),
    ("cache/forward", "positions[row]", "positions[0]"),
    ("attention/forward", "group.z * params.keys", "group.z * params.tokens"),
    ("attention/forward", "params.keys - 1u", "params.tokens - 1u"),
    ("attention/forward", "limits[first_row + query] + 1u", "limits[first_row + query]"),
    ("attention/forward", "limits[first_row + query] + 1u", "limits[first_row] + 1u"),
    ("attention/forward", "end - min(params.before, end)", "0u"),
    ("attention/forward", "if CACHED == 1u", "if false"),
    ("attention/limits", "segments[i - back] != own", "segments[i - back] == own"),
    ("attention/limits", "own != 0u", "true"),
    ("attention/limits", "let token = i % params.tokens;", "let token = i;"),
    ("attention/limits", "end = token + ahead", "end = token + ahead + 1u"),
    ("attention/forward", "token >= range.first", "true"),
    ("attention/forward", "token < range.end", "token <= range.end"),
    ("attention/forward", "query + params.after", "query + 2u"),
    ("attention/forward", "min(params.before, query + 1u)", "query + 1u"),
    ("attention/forward", "if SEGMENTS == 0u", "if true"),
    ("attention/forward", "if CAPPED == 0u", "if true"),
    ("attention/forward", "params.cap * hyperbolic", "hyperbolic"),
    ("attention/forward", "size < 0.625", "size < 6.25"),
    ("attention/forward", "0.13331442", "0.1323"),
    ("attention/forward", "select(value, -value, x", "select(value, value, x"),
    ("attention/forward", "1.0 - 2.0 / (exp", "1.0 - 2.001 / (exp"),
    ("attention/forward", "reach.first + tile * rows", "tile * rows"),
    ("attention/forward", "- rows.first + rows_at_once() - 1u", "- rows.first"),
    ("attention/forward", "min(first_query + 64u, params.tokens) - 1u", "first_query"),
    ("attention/forward", "sum * params.scale", "sum"),
    ("attention/forward", "score > largest", "false"),
    ("attention/forward", "total *= shrink", "total *= 1.0"),
    ("attention/forward", "output[c] *= shrink", "output[c] *= 1.0"),
    ("attention/forward", "largest + log(divisor)", "log(divisor)"),
    ("attention/forward", "output[c] / divisor", "output[c]"),
    ("attention/forward", "select(total, 1.0, total == 0.0)", "total"),
    ("attention/forward", "group.z * params.tokens", "0u"),
    ("attention/forward", "head / (params.heads / params.kv_heads)", "head % params.kv_heads"),
    ("attention/forward", "i < rows_at_once() * VECTORS", "i < (rows_at_once() - 1u) * VECTORS"),
    ("attention/forward", "select(16u, 8u, VECTORS > 32u)", "16u"),
    ("attention/forward", "vector * 4u + 3u, numbers.w", "vector * 4u + 2u, numbers.w"),
    ("attention/forward", ", there(vector))", ", vec4<bool>(true))"),
    ("attention/delta", "sum += dy[at] * y[at]", "sum += dy[at]"),
    ("attention/delta", "sums[i * 2u] = lse[i]", "sums[i * 2u] = lse[i / 2u]"),
    ("attention/backward_query", "(dp - across)", "dp"),
    ("attention/backward_query", "output[c] * params.scale", "output[c]"),
    ("attention/backward_query", "- log_sum", ""),
    ("attention/backward_query", "* slope(score)", ""),
    ("attention/backward_query", "1.0 - tangent * tangent", "1.0 - tangent"),
    ("attention/backward_query", "token < range.end", "token + 1u < range.end"),
    ("attention/backward_query", "params.add == 1u", "params.add == 2u"),
    ("attention/backward_key_value", "is_in(first + j, seen_by)", "first + j > key"),
    ("attention/backward_key_value", "key + params.before", "key + params.before - 1u"),
    ("attention/backward_key_value", "min(params.after, key + 1u)", "1u"),
    ("attention/backward_key_value", "reach.first + tile * rows", "tile * rows"),
    ("attention/backward_key_value", "* slope(score)", ""),
    ("attention/backward_key_value", "member < shared_by", "member < 1u"),
    ("attention/backward_key_value", "(dp - sums[row * 2u + 1u])", "(dp - sums[1u])"),
    ("attention/backward_key_value", "min(first_key + 64u, params.tokens) - 1u", "first_key"),
    ("attention/backward_key_value", "params.add_value == 1u", "params.add == 0u"),
];
