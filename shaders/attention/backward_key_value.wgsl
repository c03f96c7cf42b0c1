// dk (N, KV·D) (+)= dsᵀ q / √D and dv (N, KV·D) (+)= pᵀ dy, with p and ds as in `backward_query`. The gradients of the query heads that share
// a key head are summed.
//
// A workgroup has 16 keys of one key head and goes over the tiles of 16 queries that see some of them. Invocation (i, j) has the score of query
// i and key j, and then the columns j, j + 16, … of key i.

struct Params {
    tokens: u32,
    heads: u32,
    // Query head h uses key head h / (heads / kv_heads).
    kv_heads: u32,
    // At most 128, for the registers.
    head_size: u32,
    // 1/√D.
    scale: f32,
    // 1 adds to what the output holds, 0 overwrites it.
    add_key: u32,
    add_value: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> v: array<f32>;
@group(0) @binding(4) var<storage, read> y: array<f32>;
@group(0) @binding(5) var<storage, read> lse: array<f32>;
@group(0) @binding(6) var<storage, read> dy: array<f32>;
@group(0) @binding(7) var<storage, read_write> dk: array<f32>;
@group(0) @binding(8) var<storage, read_write> dv: array<f32>;

// 16 rows of 16, and one of padding against bank conflicts: parts of q, k, dy and v.
var<workgroup> of_q: array<f32, 272>;
var<workgroup> of_k: array<f32, 272>;
var<workgroup> of_dy: array<f32, 272>;
var<workgroup> of_v: array<f32, 272>;
var<workgroup> p: array<f32, 272>;
var<workgroup> ds: array<f32, 272>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let first_key = group.x * 16u;
    let kv_head = group.y;
    let sequence = group.z;
    let i = local / 16u;
    let j = local % 16u;
    let shared_by = params.heads / params.kv_heads;
    let wide = params.heads * params.head_size;
    let narrow = params.kv_heads * params.head_size;
    let first_row = sequence * params.tokens;
    let key_start = (first_row + first_key + i) * narrow + kv_head * params.head_size;

    var of_key = array<f32, 8>();
    var of_value = array<f32, 8>();
    for (var member = 0u; member < shared_by; member++) {
        let head = kv_head * shared_by + member;
        // Tiles of queries begin where tiles of keys do, and no query before them sees a key of this tile.
        for (var first_query = first_key; first_query < params.tokens; first_query += 16u) {
            let query = first_query + i;
            let query_start = (first_row + query) * wide + head * params.head_size;
            var delta = 0.0;
            var log_sum = 0.0;
            if query < params.tokens {
                for (var d = 0u; d < params.head_size; d++) {
                    delta += dy[query_start + d] * y[query_start + d];
                }
                log_sum = lse[(first_row + query) * params.heads + head];
            }
            var score = 0.0;
            var dp = 0.0;
            for (var start = 0u; start < params.head_size; start += 16u) {
                let d = start + j;
                var values = vec4<f32>();
                if query < params.tokens && d < params.head_size {
                    values.x = q[query_start + d];
                    values.y = dy[query_start + d];
                }
                if first_key + i < params.tokens && d < params.head_size {
                    values.z = k[key_start + d];
                    values.w = v[key_start + d];
                }
                of_q[i * 17u + j] = values.x;
                of_dy[i * 17u + j] = values.y;
                of_k[i * 17u + j] = values.z;
                of_v[i * 17u + j] = values.w;
                workgroupBarrier();
                for (var e = 0u; e < 16u; e++) {
                    score += of_q[i * 17u + e] * of_k[j * 17u + e];
                    dp += of_dy[i * 17u + e] * of_v[j * 17u + e];
                }
                workgroupBarrier();
            }
            let seen = first_key + j <= query && query < params.tokens;
            let probability = select(0.0, exp(score * params.scale - log_sum), seen);
            p[i * 17u + j] = probability;
            ds[i * 17u + j] = select(0.0, probability * (dp - delta), seen);
            workgroupBarrier();
            let queries = min(16u, params.tokens - first_query);
            for (var part = 0u; part < 8u; part++) {
                let d = part * 16u + j;
                if d < params.head_size {
                    var key_sum = of_key[part];
                    var value_sum = of_value[part];
                    for (var e = 0u; e < queries; e++) {
                        let place = (first_row + first_query + e) * wide + head * params.head_size + d;
                        key_sum += ds[e * 17u + i] * q[place];
                        value_sum += p[e * 17u + i] * dy[place];
                    }
                    of_key[part] = key_sum;
                    of_value[part] = value_sum;
                }
            }
            workgroupBarrier();
        }
    }
    if first_key + i < params.tokens {
        for (var part = 0u; part < 8u; part++) {
            let d = part * 16u + j;
            if d < params.head_size {
                let for_key = of_key[part] * params.scale;
                if params.add_key == 1u {
                    dk[key_start + d] += for_key;
                } else {
                    dk[key_start + d] = for_key;
                }
                if params.add_value == 1u {
                    dv[key_start + d] += of_value[part];
                } else {
                    dv[key_start + d] = of_value[part];
                }
            }
        }
    }
}
