// y (N, H·D) = softmax(q kᵀ / √D) v for each sequence and head, over the keys at or before the query, and the log-sum-exp of the scaled
// scores, lse (N, H), for the backward passes. No T×T matrix: a running maximum and a running sum over tiles of keys.
// Milakov and Gimelshein 2018, arXiv 1805.02867; Dao et al. 2022, arXiv 2205.14135.
//
// A workgroup has 16 queries of one head and goes over tiles of 16 keys. Invocation (i, j) has the score of query i and key j, and the
// output columns j, j + 16, … of query i.

struct Params {
    tokens: u32,
    heads: u32,
    // Query head h uses key head h / (heads / kv_heads).
    kv_heads: u32,
    // At most 128, for the registers.
    head_size: u32,
    // 1/√D.
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> v: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;

// 16 rows of 16, and one of padding against bank conflicts.
var<workgroup> left: array<f32, 272>;
var<workgroup> right: array<f32, 272>;
var<workgroup> scores: array<f32, 272>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let first_query = group.x * 16u;
    let head = group.y;
    let sequence = group.z;
    let i = local / 16u;
    let j = local % 16u;
    let kv_head = head / (params.heads / params.kv_heads);
    let wide = params.heads * params.head_size;
    let narrow = params.kv_heads * params.head_size;
    let first_row = sequence * params.tokens;
    let query = first_query + i;
    let query_start = (first_row + query) * wide + head * params.head_size;

    var largest = -3.4028234e38;
    var total = 0.0;
    var output = array<f32, 8>();
    let end = min(first_query + 16u, params.tokens);
    for (var first_key = 0u; first_key < end; first_key += 16u) {
        let key = first_key + j;
        var score = 0.0;
        for (var start = 0u; start < params.head_size; start += 16u) {
            let d = start + j;
            var of_query = 0.0;
            if query < params.tokens && d < params.head_size {
                of_query = q[query_start + d];
            }
            var of_key = 0.0;
            if first_key + i < params.tokens && d < params.head_size {
                of_key = k[(first_row + first_key + i) * narrow + kv_head * params.head_size + d];
            }
            left[i * 17u + j] = of_query;
            right[i * 17u + j] = of_key;
            workgroupBarrier();
            for (var e = 0u; e < 16u; e++) {
                score += left[i * 17u + e] * right[j * 17u + e];
            }
            workgroupBarrier();
        }
        let seen = key <= query && key < params.tokens;
        scores[i * 17u + j] = select(-3.4028234e38, score * params.scale, seen);
        workgroupBarrier();
        var here = largest;
        for (var e = 0u; e < 16u; e++) {
            here = max(here, scores[i * 17u + e]);
        }
        let shrink = exp(largest - here);
        largest = here;
        workgroupBarrier();
        scores[i * 17u + j] = select(0.0, exp(score * params.scale - here), seen);
        workgroupBarrier();
        total *= shrink;
        for (var e = 0u; e < 16u; e++) {
            total += scores[i * 17u + e];
        }
        let keys = min(16u, params.tokens - first_key);
        for (var part = 0u; part < 8u; part++) {
            let d = part * 16u + j;
            if d < params.head_size {
                var sum = output[part] * shrink;
                for (var e = 0u; e < keys; e++) {
                    sum += scores[i * 17u + e] * v[(first_row + first_key + e) * narrow + kv_head * params.head_size + d];
                }
                output[part] = sum;
            }
        }
        workgroupBarrier();
    }
    if query < params.tokens {
        for (var part = 0u; part < 8u; part++) {
            let d = part * 16u + j;
            if d < params.head_size {
                y[query_start + d] = output[part] / total;
            }
        }
        if j == 0u {
            lse[(first_row + query) * params.heads + head] = largest + log(total);
        }
    }
}
