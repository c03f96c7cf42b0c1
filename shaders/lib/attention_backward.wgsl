// The other inputs of the backward kernels of attention.

// For each row and head, the log-sum-exp of its scores, and δ.
@group(0) @binding(5) var<storage, read> sums: array<f32>;
@group(0) @binding(6) var<storage, read> dy: array<f32>;

fn dy_at(at: u32, vector: u32) -> vec4<f32> {
    let i = features_from(at, vector);
    return select(vec4<f32>(), vec4<f32>(dy[i.x], dy[i.y], dy[i.z], dy[i.w]), there(vector));
}
