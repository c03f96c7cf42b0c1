// A workgroup has 64 queries of one head, one an invocation, and goes over tiles of keys that all of them read. The kernel defines
// `of_query(query, reach, local)`, where the workgroup's queries see no key outside of `reach`, and `put_one`: where a feature of the
// result goes.

// Keys and values: 16 of 32 vectors, or 8 of 64.
var<workgroup> keys: array<vec4<f32>, 512>;
var<workgroup> values: array<vec4<f32>, 512>;

// A query that is not there is the last one again, and not put; so are keys, and none that is there sees them.
struct Query {
    // Its place in the sequence.
    token: u32,
    // The index of its number in arrays of one for each row and head, such as lse, and the index of its first feature.
    place: u32,
    features: u32,
    // The row where the sequence's keys begin, and their head.
    first_key_row: u32,
    kv_head: u32,
    // The keys that it sees.
    seen: Range,
}

fn load_keys(query: Query, first_key: u32, local: u32) {
    let narrow = params.kv_heads * params.head_size;
    for (var i = local; i < rows_at_once() * VECTORS; i += 64u) {
        let key = query.first_key_row + min(first_key + i / VECTORS, params.keys - 1u);
        let key_at = key * narrow + query.kv_head * params.head_size;
        keys[i] = k_at(key_at, i % VECTORS);
        values[i] = v_at(key_at, i % VECTORS);
    }
    workgroupBarrier();
}

fn put(query: Query, vector: u32, numbers: vec4<f32>) {
    put_one(query.features, vector * 4u, numbers.x);
    put_one(query.features, vector * 4u + 1u, numbers.y);
    put_one(query.features, vector * 4u + 2u, numbers.z);
    put_one(query.features, vector * 4u + 3u, numbers.w);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let first_query = group.x * 64u;
    let head = group.y;
    var query: Query;
    query.token = first_query + local;
    query.first_key_row = group.z * params.keys;
    let first_row = group.z * params.tokens;
    let token = min(query.token, params.tokens - 1u);
    query.place = (first_row + token) * params.heads + head;
    query.features = query.place * params.head_size;
    query.kv_head = head / (params.heads / params.kv_heads);
    query.seen = keys_of(first_row, token);
    let last_query = min(first_query + 64u, params.tokens) - 1u;
    of_query(query, Range(keys_of(first_row, first_query).first, keys_of(first_row, last_query).end), local);
}
