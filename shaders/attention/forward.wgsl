// y (N, H·D) = softmax(q kᵀ / √D) v for each sequence and head, over the keys at or before the query, and the log-sum-exp of the scaled
// scores, lse (N, H), for the backward passes. No T×T matrix: a running maximum and a running sum over the keys.
// Milakov and Gimelshein 2018, arXiv 1805.02867; Dao et al. 2022, arXiv 2205.14135.

struct Params {
    tokens: u32,
    heads: u32,
    // Query head h uses key head h / (heads / kv_heads).
    kv_heads: u32,
    // At most 128.
    head_size: u32,
    // 1/√D.
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;

fn put_one(at: u32, d: u32, value: f32) {
    if d < params.head_size {
        y[at + d] = value;
    }
}

fn of_query(query: Query, end: u32, local: u32) {
    var features: array<vec4<f32>, 32>;
    var output: array<vec4<f32>, 32>;
    for (var c = 0u; c < VECTORS; c++) {
        features[c] = q_at(query.features, c);
        output[c] = vec4<f32>();
    }
    var largest = -3.4028234e38;
    var total = 0.0;
    for (var first_key = 0u; first_key < end; first_key += 16u) {
        load_keys(query, first_key, local);
        for (var j = 0u; j < 16u; j++) {
            if first_key + j <= query.token {
                var score = 0.0;
                for (var c = 0u; c < VECTORS; c++) {
                    score += dot(features[c], keys[j * 32u + c]);
                }
                score *= params.scale;
                if score > largest {
                    let shrink = exp(largest - score);
                    total *= shrink;
                    for (var c = 0u; c < VECTORS; c++) {
                        output[c] *= shrink;
                    }
                    largest = score;
                }
                let p = exp(score - largest);
                total += p;
                for (var c = 0u; c < VECTORS; c++) {
                    output[c] += p * values[j * 32u + c];
                }
            }
        }
        workgroupBarrier();
    }
    if query.token < params.tokens {
        for (var c = 0u; c < VECTORS; c++) {
            put(query, c, output[c] / total);
        }
        lse[query.place] = largest + log(total);
    }
}
