// What the backward kernels of attention read besides.

@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read> dy: array<f32>;
@group(0) @binding(6) var<storage, read> delta: array<f32>;

fn dy_at(at: u32, vector: u32) -> vec4<f32> {
    let i = features_from(at, vector);
    return select(vec4<f32>(), vec4<f32>(dy[i.x], dy[i.y], dy[i.z], dy[i.w]), there(vector));
}
