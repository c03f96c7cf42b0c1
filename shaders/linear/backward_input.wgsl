// dx (N, I) (+)= dy (N, O) · W (O, I), run by run.

// How the weights are stored: 0 is f32, 1 is f16, 2 is bf16; halves lie in pairs, the first in the low bits.
override FORMAT: u32 = 0u;

struct Params {
    // Of one run.
    rows: u32,
    inputs: u32,
    outputs: u32,
    weight_offset: u32,
    // Elements from one run's weights to the next; 0 where all share them.
    weight_stride: u32,
    // 1 adds to what dx holds, 0 overwrites it.
    add: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<u32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

// Tiles of 64 rows by 64 columns, four by four to an invocation, over 16 terms of the sum at a time. Both operands of a tile lie by
// term: four neighbours in a vector, 16 vectors a term, and one of padding against bank conflicts.
const PITCH: u32 = 17u;

var<workgroup> left: array<vec4<f32>, 272>;
var<workgroup> right: array<vec4<f32>, 272>;

fn half(bits: u32) -> f32 {
    // By integers, since unpack2x16float may flush subnormals, which are weights like any other.
    let magnitude = bits & 0x7fffu;
    let normal = bitcast<f32>((magnitude << 13u) + 0x38000000u);
    let value = select(normal, f32(magnitude) * 5.9604644775390625e-8, magnitude < 0x400u);
    return select(value, -value, (bits & 0x8000u) != 0u);
}

fn weight(index: u32) -> f32 {
    if FORMAT == 0u {
        return bitcast<f32>(w[index]);
    }
    let bits = (w[index >> 1u] >> ((index & 1u) << 4u)) & 0xffffu;
    if FORMAT == 1u {
        return half(bits);
    }
    return bitcast<f32>(bits << 16u);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let run = group.z;
    let first_row = group.y * 64u;
    let first_column = group.x * 64u;
    let column = local % 16u;
    let row = local / 16u;
    let weights = params.weight_offset + run * params.weight_stride;

    var sum0 = vec4<f32>();
    var sum1 = vec4<f32>();
    var sum2 = vec4<f32>();
    var sum3 = vec4<f32>();
    for (var start = 0u; start < params.outputs; start += 16u) {
        // Neighbouring invocations read neighbouring elements: terms of dy lie side by side, columns of W do.
        let left_term = local % 16u;
        let left_four = local / 16u;
        let right_term = local / 16u;
        let right_four = local % 16u;
        var a = vec4<f32>();
        var b = vec4<f32>();
        for (var lane = 0u; lane < 4u; lane++) {
            let n = first_row + left_four * 4u + lane;
            if n < params.rows && start + left_term < params.outputs {
                a[lane] = dy[(run * params.rows + n) * params.outputs + start + left_term];
            }
            let i = first_column + right_four * 4u + lane;
            if i < params.inputs && start + right_term < params.outputs {
                b[lane] = weight(weights + (start + right_term) * params.inputs + i);
            }
        }
        left[left_term * PITCH + left_four] = a;
        right[right_term * PITCH + right_four] = b;
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
        let n = first_row + row * 4u + a;
        for (var b = 0u; b < 4u; b++) {
            let i = first_column + column * 4u + b;
            if n < params.rows && i < params.inputs {
                let place = (run * params.rows + n) * params.inputs + i;
                if params.add == 1u {
                    dx[place] += sums[a][b];
                } else {
                    dx[place] = sums[a][b];
                }
            }
        }
    }
}
