// g ← factor · g for each run whose gradient is longer than it may be. Pascanu, Mikolov and Bengio 2012, arXiv 1211.5063, algorithm 1.

struct Params {
    // Gradients of a run.
    elements: u32,
    runs: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// Two a run: whether it has diverged, and the bits of its clipping factor.
@group(0) @binding(1) var<storage, read> states: array<u32>;
@group(0) @binding(2) var<storage, read_write> gradients: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = (group.y * groups.x + group.x) * 256u + local;
    if i < params.elements * params.runs {
        let factor = bitcast<f32>(states[i / params.elements * 2u + 1u]);
        if factor != 1.0 {
            gradients[i] *= factor;
        }
    }
}
