// dk (N, KV·D) (+)= dsᵀ q / √D and dv (N, KV·D) (+)= pᵀ dy, with p and ds as in `backward_query`. The gradients of the query heads that share
// a key head are summed.
//
// A workgroup has 64 keys of one key head, one an invocation, and goes over tiles of 16 queries that all of them read.

struct Params {
    tokens: u32,
    heads: u32,
    // Query head h uses key head h / (heads / kv_heads).
    kv_heads: u32,
    // At most 128.
    head_size: u32,
    // 1/√D.
    scale: f32,
    // 1 adds to what the output holds, 0 overwrites it.
    add_key: u32,
    add_value: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(7) var<storage, read_write> dk: array<f32>;
@group(0) @binding(8) var<storage, read_write> dv: array<f32>;

// 16 queries and gradients of 32 vectors.
var<workgroup> queries: array<vec4<f32>, 512>;
var<workgroup> gradients: array<vec4<f32>, 512>;

fn put_dk(at: u32, vector: u32, values: vec4<f32>) {
    put_dk_one(at, vector * 4u, values.x);
    put_dk_one(at, vector * 4u + 1u, values.y);
    put_dk_one(at, vector * 4u + 2u, values.z);
    put_dk_one(at, vector * 4u + 3u, values.w);
}

fn put_dk_one(at: u32, d: u32, value: f32) {
    if d < params.head_size {
        if params.add_key == 1u {
            dk[at + d] += value;
        } else {
            dk[at + d] = value;
        }
    }
}

fn put_dv(at: u32, vector: u32, values: vec4<f32>) {
    put_dv_one(at, vector * 4u, values.x);
    put_dv_one(at, vector * 4u + 1u, values.y);
    put_dv_one(at, vector * 4u + 2u, values.z);
    put_dv_one(at, vector * 4u + 3u, values.w);
}

fn put_dv_one(at: u32, d: u32, value: f32) {
    if d < params.head_size {
        if params.add_value == 1u {
            dv[at + d] += value;
        } else {
            dv[at + d] = value;
        }
    }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let first_key = group.x * 64u;
    let kv_head = group.y;
    let shared_by = params.heads / params.kv_heads;
    let wide = params.heads * params.head_size;
    let narrow = params.kv_heads * params.head_size;
    let first_row = group.z * params.tokens;
    // A key that is not there is the last one again, and not put.
    let key = first_key + local;
    let at = (first_row + min(key, params.tokens - 1u)) * narrow + kv_head * params.head_size;

    var of_key: array<vec4<f32>, 32>;
    var of_value: array<vec4<f32>, 32>;
    var key_output: array<vec4<f32>, 32>;
    var value_output: array<vec4<f32>, 32>;
    for (var c = 0u; c < VECTORS; c++) {
        of_key[c] = k_at(at, c);
        of_value[c] = v_at(at, c);
        key_output[c] = vec4<f32>();
        value_output[c] = vec4<f32>();
    }
    for (var member = 0u; member < shared_by; member++) {
        let head = kv_head * shared_by + member;
        // Tiles of queries begin where this workgroup's keys do: no query before them sees any.
        for (var first_query = first_key; first_query < params.tokens; first_query += 16u) {
            for (var i = local; i < 16u * VECTORS; i += 64u) {
                let query = first_row + min(first_query + i / VECTORS, params.tokens - 1u);
                let query_at = query * wide + head * params.head_size;
                queries[i / VECTORS * 32u + i % VECTORS] = q_at(query_at, i % VECTORS);
                gradients[i / VECTORS * 32u + i % VECTORS] = dy_at(query_at, i % VECTORS);
            }
            workgroupBarrier();
            for (var j = 0u; j < 16u; j++) {
                let query = first_query + j;
                if query >= key && query < params.tokens {
                    var score = 0.0;
                    var dp = 0.0;
                    for (var c = 0u; c < VECTORS; c++) {
                        score += dot(of_key[c], queries[j * 32u + c]);
                        dp += dot(of_value[c], gradients[j * 32u + c]);
                    }
                    let row = (first_row + query) * params.heads + head;
                    let p = exp(score * params.scale - lse[row]);
                    let ds = p * (dp - delta[row]);
                    for (var c = 0u; c < VECTORS; c++) {
                        key_output[c] += ds * queries[j * 32u + c];
                        value_output[c] += p * gradients[j * 32u + c];
                    }
                }
            }
            workgroupBarrier();
        }
    }
    if key < params.tokens {
        for (var c = 0u; c < VECTORS; c++) {
            put_dk(at, c, key_output[c] * params.scale);
            put_dv(at, c, value_output[c]);
        }
    }
}
