// y (N, H·D) = softmax(q kᵀ / √D) v for each sequence and head, over the keys at or before the query, and the log-sum-exp of the scaled
// scores, lse (N, H), for the backward passes. No T×T matrix: a running maximum and a running sum over the keys.
// Milakov and Gimelshein 2018, arXiv 1805.02867; Dao et al. 2022, arXiv 2205.14135.
//
// A workgroup has 64 queries of one head, one an invocation, and goes over tiles of 16 keys that all of them read.

// Vectors of a head's features, D / 4 rounded up; a constant, so that the features stay in registers.
override VECTORS: u32 = 1u;

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
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> v: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;

// 16 keys and values of 32 vectors.
var<workgroup> keys: array<vec4<f32>, 512>;
var<workgroup> values: array<vec4<f32>, 512>;

// Where four features of the row that begins at `at` lie, those that are not there at the last one.
fn features_from(at: u32, vector: u32) -> vec4<u32> {
    return at + min(vector * 4u + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.head_size - 1u));
}

// Which of the four are there.
fn there(vector: u32) -> vec4<bool> {
    return vector * 4u + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.head_size);
}

fn q_at(at: u32, vector: u32) -> vec4<f32> {
    let i = features_from(at, vector);
    return select(vec4<f32>(), vec4<f32>(q[i.x], q[i.y], q[i.z], q[i.w]), there(vector));
}

fn k_at(at: u32, vector: u32) -> vec4<f32> {
    let i = features_from(at, vector);
    return select(vec4<f32>(), vec4<f32>(k[i.x], k[i.y], k[i.z], k[i.w]), there(vector));
}

fn v_at(at: u32, vector: u32) -> vec4<f32> {
    let i = features_from(at, vector);
    return select(vec4<f32>(), vec4<f32>(v[i.x], v[i.y], v[i.z], v[i.w]), there(vector));
}

fn put_y(at: u32, vector: u32, values: vec4<f32>) {
    put_y_one(at, vector * 4u, values.x);
    put_y_one(at, vector * 4u + 1u, values.y);
    put_y_one(at, vector * 4u + 2u, values.z);
    put_y_one(at, vector * 4u + 3u, values.w);
}

fn put_y_one(at: u32, d: u32, value: f32) {
    if d < params.head_size {
        y[at + d] = value;
    }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let first_query = group.x * 64u;
    let head = group.y;
    let kv_head = head / (params.heads / params.kv_heads);
    let wide = params.heads * params.head_size;
    let narrow = params.kv_heads * params.head_size;
    let first_row = group.z * params.tokens;
    // A query that is not there is the last one again, and not put; so are keys, and none that is there sees them.
    let query = first_query + local;
    let row = first_row + min(query, params.tokens - 1u);
    let at = row * wide + head * params.head_size;

    var features: array<vec4<f32>, 32>;
    var output: array<vec4<f32>, 32>;
    for (var c = 0u; c < VECTORS; c++) {
        features[c] = q_at(at, c);
        output[c] = vec4<f32>();
    }
    var largest = -3.4028234e38;
    var total = 0.0;
    let end = min(first_query + 64u, params.tokens);
    for (var first_key = 0u; first_key < end; first_key += 16u) {
        for (var i = local; i < 16u * VECTORS; i += 64u) {
            let key = first_row + min(first_key + i / VECTORS, params.tokens - 1u);
            let key_at = key * narrow + kv_head * params.head_size;
            keys[i / VECTORS * 32u + i % VECTORS] = k_at(key_at, i % VECTORS);
            values[i / VECTORS * 32u + i % VECTORS] = v_at(key_at, i % VECTORS);
        }
        workgroupBarrier();
        for (var j = 0u; j < 16u; j++) {
            if first_key + j <= query {
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
    if query < params.tokens {
        for (var c = 0u; c < VECTORS; c++) {
            put_y(at, c, output[c] / total);
        }
        lse[row * params.heads + head] = largest + log(total);
    }
}
