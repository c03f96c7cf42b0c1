// dW (O, I) += dy (N, O)ᵀ · x (N, I), run by run: the gradient of a trained weight.

struct Params {
    // Of one run.
    rows: u32,
    inputs: u32,
    outputs: u32,
    // Where the weight's gradient begins, and how many elements a run's gradients take.
    offset: u32,
    stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> gradients: array<f32>;

// Tiles of 64 rows by 64 columns, four by four to an invocation, over 16 terms of the sum at a time. Both operands of a tile lie by
// term: four neighbours in a vector, 16 vectors a term, and one of padding against bank conflicts.
const PITCH: u32 = 17u;

var<workgroup> left: array<vec4<f32>, 272>;
var<workgroup> right: array<vec4<f32>, 272>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let run = group.z;
    let first_row = group.y * 64u;
    let first_column = group.x * 64u;
    let column = local % 16u;
    let row = local / 16u;
    // Rows of dW are columns of dy.
    let term = local / 16u;
    let four = local % 16u;

    var sum0 = vec4<f32>();
    var sum1 = vec4<f32>();
    var sum2 = vec4<f32>();
    var sum3 = vec4<f32>();
    for (var start = 0u; start < params.rows; start += 16u) {
        let n = start + term;
        var a = vec4<f32>();
        var b = vec4<f32>();
        if n < params.rows {
            for (var lane = 0u; lane < 4u; lane++) {
                let o = first_row + four * 4u + lane;
                if o < params.outputs {
                    a[lane] = dy[(run * params.rows + n) * params.outputs + o];
                }
                let i = first_column + four * 4u + lane;
                if i < params.inputs {
                    b[lane] = x[(run * params.rows + n) * params.inputs + i];
                }
            }
        }
        left[term * PITCH + four] = a;
        right[term * PITCH + four] = b;
        workgroupBarrier();
        for (var k = 0u; k < 16u; k++) {
            let l = left[k * PITCH + row];
            let r = right[k * PITCH + column];
            sum0 += l.x * r;
            sum1 += l.y * r;
            sum2 += l.z * r;
            sum3 += l.w * r;
        }
        workgroupBarrier();
    }

    let sums = array<vec4<f32>, 4>(sum0, sum1, sum2, sum3);
    for (var a = 0u; a < 4u; a++) {
        let o = first_row + row * 4u + a;
        for (var b = 0u; b < 4u; b++) {
            let i = first_column + column * 4u + b;
            if o < params.outputs && i < params.inputs {
                gradients[run * params.stride + params.offset + o * params.inputs + i] += sums[a][b];
            }
        }
    }
}
