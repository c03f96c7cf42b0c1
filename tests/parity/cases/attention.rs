//! `attention`.

use loralab_core::graph::{
    memory::{Group, Weight},
    tape::Tape,
};

use super::{Case, Mutant, trained_rows};

pub fn attention() -> Vec<Case> {
    let mut cases = Vec::new();
    for ([heads, kv_heads], head_size, shape) in [
        ([1, 1], 1, [2, 1]),
        ([2, 1], 7, [2, 5]),
        ([2, 2], 16, [1, 16]),
        ([3, 1], 20, [2, 17]),
        ([4, 2], 24, [1, 40]),
        ([1, 1], 128, [1, 19]),
    ] {
        let what = format!("attention of {heads} heads over {kv_heads}, {head_size} features, {shape:?}");
        let record = move |tape: &mut Tape| {
            let (wide, narrow) = (heads * head_size, kv_heads * head_size);
            let x = trained_rows(tape, 9);
            let [q, k, v] = [("q", wide), ("k", narrow), ("v", narrow)].map(|(name, columns)| {
                let weight = tape.parameter(name, [columns, 9], Group::Matrix);
                tape.linear(x, Weight::Trained(weight), None, columns)
            });
            let y = tape.attention(q, k, v, head_size);
            // Read twice, so that the gradients of the second are added to those of the first.
            let again = tape.attention(q, k, v, head_size);
            let sum = tape.add(y, again);
            tape.mse(sum);
        };
        cases.push(Case::new(what, shape, record));
    }
    cases
}

/// Broken kernels.
pub const MUTANTS: &[Mutant] = &[
    ("attention/forward", "first_key + j <= query", "first_key + j < query"),
    ("attention/forward", "first_key + j <= query.token", "first_key + j < params.tokens"),
    ("attention/forward", "score *= params.scale", "score *= 1.0"),
    ("attention/forward", "score > largest", "false"),
    ("attention/forward", "total *= shrink", "total *= 1.0"),
    ("attention/forward", "output[c] *= shrink", "output[c] *= 1.0"),
    ("attention/forward", "largest + log(total)", "log(total)"),
    ("attention/forward", "output[c] / total", "output[c]"),
    ("attention/forward", "group.z * params.tokens", "0u"),
    ("attention/forward", "head / (params.heads / params.kv_heads)", "head % params.kv_heads"),
    ("attention/forward", "i < 16u * VECTORS", "i < 15u * VECTORS"),
    ("attention/forward", "vector * 4u + 3u, numbers.w", "vector * 4u + 2u, numbers.w"),
    ("attention/forward", ", there(vector))", ", vec4<bool>(true))"),
    ("attention/delta", "sum += dy[at] * y[at]", "sum += dy[at]"),
    ("attention/backward_query", "(dp - across)", "dp"),
    ("attention/backward_query", "output[c] * params.scale", "output[c]"),
    ("attention/backward_query", "- log_sum", ""),
    ("attention/backward_query", "first_key + j <= query", "first_key + j < query"),
    ("attention/backward_query", "params.add == 1u", "params.add == 2u"),
    ("attention/backward_key_value", "query >= key", "query > key"),
    ("attention/backward_key_value", "member < shared_by", "member < 1u"),
    ("attention/backward_key_value", "(dp - delta[row])", "(dp - delta[0])"),
    ("attention/backward_key_value", "&& query < params.tokens {", "&& query + 1u < params.tokens {"),
    ("attention/backward_key_value", "params.add_value == 1u", "params.add_key == 0u"),
];
