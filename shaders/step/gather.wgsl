// Adds the losses of a pass to those that each run has gathered since its last update: 64 sums a run, one workgroup a run.

struct Params {
    rows_per_run: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> row_loss: array<f32>;
@group(0) @binding(2) var<storage, read_write> gathered: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let run = group.x;
    var loss = gathered[run * 64u + local];
    for (var row = local; row < params.rows_per_run; row += 64u) {
        loss += row_loss[run * params.rows_per_run + row];
    }
    gathered[run * 64u + local] = loss;
}
