// dx (+)= dy where x is positive, and 0 elsewhere, so also at 0 itself.

struct Params {
    elements: u32,
    // 1 adds to what dx holds, 0 overwrites it.
    add: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = (group.y * groups.x + group.x) * 256u + local;
    if i < params.elements {
        let gradient = select(0.0, dy[i], x[i] > 0.0);
        if params.add == 1u {
            dx[i] += gradient;
        } else {
            dx[i] = gradient;
        }
    }
}
