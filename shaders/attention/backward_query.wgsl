// dq (N, H·D) (+)= ds k / √D, with p = exp(s − lse), the probabilities again, and ds = p ∘ (dy vᵀ − δ); δ comes from `delta`.
// Dao et al. 2022, arXiv 2205.14135, appendix B.4.
//
// dk and dv are the other kernel's, so nothing is added by two at once.

struct Params {
    tokens: u32,
    heads: u32,
    // Query head h uses key head h / (heads / kv_heads).
    kv_heads: u32,
    // At most 128.
    head_size: u32,
    // 1/√D.
    scale: f32,
    // 1 adds to what dq holds, 0 overwrites it.
    add: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(7) var<storage, read_write> dq: array<f32>;

fn put_one(at: u32, d: u32, value: f32) {
    if d < params.head_size {
        if params.add == 1u {
            dq[at + d] += value;
        } else {
            dq[at + d] = value;
        }
    }
}

fn of_query(query: Query, end: u32, local: u32) {
    var features: array<vec4<f32>, 32>;
    var gradient: array<vec4<f32>, 32>;
    var output: array<vec4<f32>, 32>;
    for (var c = 0u; c < VECTORS; c++) {
        features[c] = q_at(query.features, c);
        gradient[c] = dy_at(query.features, c);
        output[c] = vec4<f32>();
    }
    let log_sum = lse[query.place];
    let across = delta[query.place];
    for (var first_key = 0u; first_key < end; first_key += 16u) {
        load_keys(query, first_key, local);
        for (var j = 0u; j < 16u; j++) {
            if first_key + j <= query.token {
                var score = 0.0;
                var dp = 0.0;
                for (var c = 0u; c < VECTORS; c++) {
                    score += dot(features[c], keys[j * 32u + c]);
                    dp += dot(gradient[c], values[j * 32u + c]);
                }
                let ds = exp(score * params.scale - log_sum) * (dp - across);
                for (var c = 0u; c < VECTORS; c++) {
                    output[c] += ds * keys[j * 32u + c];
                }
            }
        }
        workgroupBarrier();
    }
    if query.token < params.tokens {
        for (var c = 0u; c < VECTORS; c++) {
            put(query, c, output[c] * params.scale);
        }
    }
}
