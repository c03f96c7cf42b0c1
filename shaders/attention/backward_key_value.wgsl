// dk (N, KV·D) (+)= scale · dsᵀ q and dv (N, KV·D) (+)= pᵀ dy, with p and ds as in `backward_query`. The gradients of the query heads that share
// a key head are summed.
//
// A workgroup has 64 keys of one key head, one an invocation, and goes over tiles of queries that all of them read.

@group(0) @binding(7) var<storage, read_write> dk: array<f32>;
@group(0) @binding(8) var<storage, read_write> dv: array<f32>;

// Queries and gradients: 16 of 32 vectors, or 8 of 64.
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
        if params.add == 1u {
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
    let key = min(first_key + local, params.tokens - 1u);
    let at = (first_row + key) * narrow + kv_head * params.head_size;
    let seen_by = queries_of(first_row, key);
    let last_key = min(first_key + 64u, params.tokens) - 1u;
    let reach = Range(queries_of(first_row, first_key).first, queries_of(first_row, last_key).end);

    var of_key: array<vec4<f32>, 64>;
    var of_value: array<vec4<f32>, 64>;
    var key_output: array<vec4<f32>, 64>;
    var value_output: array<vec4<f32>, 64>;
    for (var c = 0u; c < VECTORS; c++) {
        of_key[c] = k_at(at, c);
        of_value[c] = v_at(at, c);
        key_output[c] = vec4<f32>();
        value_output[c] = vec4<f32>();
    }
    let rows = rows_at_once();
    let tiles = tiles_of(reach);
    for (var member = 0u; member < shared_by; member++) {
        let head = kv_head * shared_by + member;
        for (var tile = 0u; tile < tiles; tile++) {
            let first = reach.first + tile * rows;
            for (var i = local; i < rows * VECTORS; i += 64u) {
                let query = first_row + min(first + i / VECTORS, params.tokens - 1u);
                let query_at = query * wide + head * params.head_size;
                queries[i] = q_at(query_at, i % VECTORS);
                gradients[i] = dy_at(query_at, i % VECTORS);
            }
            workgroupBarrier();
            for (var j = 0u; j < rows; j++) {
                if is_in(first + j, seen_by) {
                    var sum = 0.0;
                    var dp = 0.0;
                    for (var c = 0u; c < VECTORS; c++) {
                        sum += dot(of_key[c], queries[j * VECTORS + c]);
                        dp += dot(of_value[c], gradients[j * VECTORS + c]);
                    }
                    let row = (first_row + first + j) * params.heads + head;
                    let score = score_of(sum);
                    let p = exp(score - sums[row * 2u]);
                    let ds = p * (dp - sums[row * 2u + 1u]) * slope(score);
                    for (var c = 0u; c < VECTORS; c++) {
                        key_output[c] += ds * queries[j * VECTORS + c];
                        value_output[c] += p * gradients[j * VECTORS + c];
                    }
                }
            }
            workgroupBarrier();
        }
    }
    if first_key + local < params.tokens {
        for (var c = 0u; c < VECTORS; c++) {
            put_dk(at, c, key_output[c] * params.scale);
            put_dv(at, c, value_output[c]);
        }
    }
}
