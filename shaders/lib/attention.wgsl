// What every kernel of attention reads: q, k and v, in vectors of four features.

// Vectors of a head's features, D / 4 rounded up; a constant, so that the features stay in registers.
override VECTORS: u32 = 1u;

@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> v: array<f32>;

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
