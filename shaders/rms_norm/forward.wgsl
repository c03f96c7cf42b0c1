// y (N, I) = x · w / √(mean(x²) + ε) over each row, and what it was divided by as inverse_rms (N). One workgroup a row.
// Zhang and Sennrich 2019, arXiv 1910.07467.

// How the weights are stored: 0 is f32, 1 is f16, 2 is bf16; halves lie in pairs, the first in the low bits.
override FORMAT: u32 = 0u;

struct Params {
    // Of all runs.
    rows: u32,
    rows_per_run: u32,
    width: u32,
    epsilon: f32,
    weight_offset: u32,
    // Elements from one run's weights to the next; 0 where all share them.
    weight_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read_write> inverse_rms: array<f32>;

// What each invocation has summed, and what each eight of them have.
var<workgroup> shares: array<f32, 64>;
var<workgroup> eighths: array<f32, 8>;

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

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = group.y * groups.x + group.x;
    if row >= params.rows {
        return;
    }
    let start = row * params.width;
    var sum = 0.0;
    for (var i = local; i < params.width; i += 64u) {
        sum += x[start + i] * x[start + i];
    }
    shares[local] = sum;
    workgroupBarrier();
    if local < 8u {
        var eighth = 0.0;
        for (var i = 0u; i < 8u; i++) {
            eighth += shares[local * 8u + i];
        }
        eighths[local] = eighth;
    }
    workgroupBarrier();
    var total = 0.0;
    for (var i = 0u; i < 8u; i++) {
        total += eighths[i];
    }
    let inverse = inverseSqrt(total / f32(params.width) + params.epsilon);
    let gain = params.weight_offset + row / params.rows_per_run * params.weight_stride;
    for (var i = local; i < params.width; i += 64u) {
        y[start + i] = x[start + i] * inverse * weight(gain + i);
    }
    if local == 0u {
        inverse_rms[row] = inverse;
    }
}
