// z (N, R) = x (N, I) · M (R, I)ᵀ, run by run, times the run's scale where asked: the narrow product on either side of an adapter.
// With M = A it is z = x Aᵀ; with M = Bᵀ and the scale it is dz = s dy B.
//
// A workgroup makes 32 rows of 8 ranks, one element an invocation, over 32 terms of the sum at a time.

struct Params {
    // Of one run.
    rows: u32,
    inputs: u32,
    rank: u32,
    // Element (r, i) of M lies at offset + run · run_stride + r · rank_stride + i · input_stride.
    offset: u32,
    run_stride: u32,
    rank_stride: u32,
    input_stride: u32,
    // 1 multiplies by the run's scale.
    scaled: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> matrix: array<f32>;
// Four a run: scale, B's share of the learning rate, weight decay, largest norm of the gradient.
@group(0) @binding(3) var<storage, read> settings: array<f32>;
@group(0) @binding(4) var<storage, read_write> z: array<f32>;

// Rows of 32 terms, and one of padding against bank conflicts.
var<workgroup> left: array<f32, 1056>;
var<workgroup> right: array<f32, 264>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let run = group.z;
    let first_row = group.y * 32u;
    let first_rank = group.x * 8u;
    let row = local / 8u;
    let rank = local % 8u;
    let term = local % 32u;
    let line = local / 32u;
    let start_of_matrix = params.offset + run * params.run_stride;

    var sum = 0.0;
    for (var start = 0u; start < params.inputs; start += 32u) {
        let i = start + term;
        for (var lane = 0u; lane < 4u; lane++) {
            let n = first_row + lane * 8u + line;
            var value = 0.0;
            if n < params.rows && i < params.inputs {
                value = x[(run * params.rows + n) * params.inputs + i];
            }
            left[(lane * 8u + line) * 33u + term] = value;
        }
        let r = first_rank + line;
        var value = 0.0;
        if r < params.rank && i < params.inputs {
            value = matrix[start_of_matrix + r * params.rank_stride + i * params.input_stride];
        }
        right[line * 33u + term] = value;
        workgroupBarrier();
        for (var k = 0u; k < 32u; k++) {
            sum += left[row * 33u + k] * right[rank * 33u + k];
        }
        workgroupBarrier();
    }
    let n = first_row + row;
    let r = first_rank + rank;
    if n < params.rows && r < params.rank {
        let factor = select(1.0, settings[run * 4u], params.scaled == 1u);
        z[(run * params.rows + n) * params.rank + r] = factor * sum;
    }
}
