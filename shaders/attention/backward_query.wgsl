// dq (N, H·D) (+)= ds k / √D, with p = exp(s − lse), the probabilities again, δ = Σ dy∘y per query and head, and ds = p ∘ (dy vᵀ − δ).
// Dao et al. 2022, arXiv 2205.14135, appendix B.4.
//
// A workgroup has 16 queries of one head and goes over tiles of 16 keys; dk and dv are the other kernel's, so nothing is added by two at once.

struct Params {
    tokens: u32,
    heads: u32,
    // Query head h uses key head h / (heads / kv_heads).
    kv_heads: u32,
    // At most 128, for the registers.
    head_size: u32,
    // 1/√D.
    scale: f32,
    // 1 adds to what dq holds, 0 overwrites it.
    add: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> v: array<f32>;
@group(0) @binding(4) var<storage, read> y: array<f32>;
@group(0) @binding(5) var<storage, read> lse: array<f32>;
@group(0) @binding(6) var<storage, read> dy: array<f32>;
@group(0) @binding(7) var<storage, read_write> dq: array<f32>;

// 16 rows of 16, and one of padding against bank conflicts: parts of q, k, dy and v.
var<workgroup> of_q: array<f32, 272>;
var<workgroup> of_k: array<f32, 272>;
var<workgroup> of_dy: array<f32, 272>;
var<workgroup> of_v: array<f32, 272>;
var<workgroup> ds: array<f32, 272>;

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

    var delta = 0.0;
    var log_sum = 0.0;
    if query < params.tokens {
        for (var d = 0u; d < params.head_size; d++) {
            delta += dy[query_start + d] * y[query_start + d];
        }
        log_sum = lse[(first_row + query) * params.heads + head];
    }
    var output = array<f32, 8>();
    let end = min(first_query + 16u, params.tokens);
    for (var first_key = 0u; first_key < end; first_key += 16u) {
        var score = 0.0;
        var dp = 0.0;
        for (var start = 0u; start < params.head_size; start += 16u) {
            let d = start + j;
            let key_start = (first_row + first_key + i) * narrow + kv_head * params.head_size;
            let has_query = query < params.tokens && d < params.head_size;
            let has_key = first_key + i < params.tokens && d < params.head_size;
            var values = vec4<f32>();
            if has_query {
                values.x = q[query_start + d];
                values.y = dy[query_start + d];
            }
            if has_key {
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
        ds[i * 17u + j] = select(0.0, exp(score * params.scale - log_sum) * (dp - delta), seen);
        workgroupBarrier();
        let keys = min(16u, params.tokens - first_key);
        for (var part = 0u; part < 8u; part++) {
            let d = part * 16u + j;
            if d < params.head_size {
                var sum = output[part];
                for (var e = 0u; e < keys; e++) {
                    sum += ds[i * 17u + e] * k[(first_row + first_key + e) * narrow + kv_head * params.head_size + d];
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
                let gradient = output[part] * params.scale;
                if params.add == 1u {
                    dq[query_start + d] += gradient;
                } else {
                    dq[query_start + d] = gradient;
                }
            }
        }
    }
}
