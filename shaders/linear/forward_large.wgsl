// y (N, O) = x (N, I) · W (O, I)ᵀ, run by run.

// How the weights are stored: 0 is f32, 1 is f16, 2 is bf16; halves lie in pairs, the first in the low bits.
override FORMAT: u32 = 0u;
// Columns of a tile: 64 or 128.
override COLUMNS: u32 = 128u;

struct Params {
    // Of one run.
    rows: u32,
    inputs: u32,
    outputs: u32,
    weight_offset: u32,
    // Elements from one run's weights to the next; 0 where all share them.
    weight_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

// Tiles of 128 rows by COLUMNS columns, over 8 terms of the sum at a time. An invocation has eight rows, four and the four that lie 64 below
// them, by four columns, and where COLUMNS is 128 by the four that lie 64 beside those. Both operands of a tile lie by term: four neighbours in
// a vector, 32 vectors a term, and one of padding against bank conflicts.
const PITCH: u32 = 33u;

var<workgroup> left: array<vec4<f32>, 264>;
var<workgroup> right: array<vec4<f32>, 264>;

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

fn x_at(run: u32, n: u32, i: u32) -> f32 {
    if n < params.rows && i < params.inputs {
        return x[(run * params.rows + n) * params.inputs + i];
    }
    return 0.0;
}

fn w_at(run: u32, o: u32, i: u32) -> f32 {
    if o < params.outputs && i < params.inputs {
        return weight(params.weight_offset + run * params.weight_stride + o * params.inputs + i);
    }
    return 0.0;
}

fn put(run: u32, row: u32, column: u32, values: vec4<f32>) {
    if row < params.rows {
        put_one(run, row, column, values.x);
        put_one(run, row, column + 1u, values.y);
        put_one(run, row, column + 2u, values.z);
        put_one(run, row, column + 3u, values.w);
    }
}

fn put_one(run: u32, row: u32, column: u32, value: f32) {
    if column < params.outputs {
        y[(run * params.rows + row) * params.outputs + column] = value;
    }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let run = group.z;
    let first_row = group.y * 128u;
    let first_column = group.x * COLUMNS;
    // Which rows and columns this invocation computes.
    let column = local % 16u;
    let row = local / 16u;
    // Where it loads: a term, and four neighbouring rows or columns. Neighbouring invocations read neighbouring terms.
    let term = local % 8u;
    let four = local / 8u;
    let n = first_row + four * 4u;
    let o = first_column + four * 4u;

    var sum0 = vec4<f32>();
    var sum1 = vec4<f32>();
    var sum2 = vec4<f32>();
    var sum3 = vec4<f32>();
    var sum4 = vec4<f32>();
    var sum5 = vec4<f32>();
    var sum6 = vec4<f32>();
    var sum7 = vec4<f32>();
    var sum8 = vec4<f32>();
    var sum9 = vec4<f32>();
    var sum10 = vec4<f32>();
    var sum11 = vec4<f32>();
    var sum12 = vec4<f32>();
    var sum13 = vec4<f32>();
    var sum14 = vec4<f32>();
    var sum15 = vec4<f32>();
    for (var start = 0u; start < params.inputs; start += 8u) {
        left[term * PITCH + four] = vec4<f32>(x_at(run, n, start + term), x_at(run, n + 1u, start + term), x_at(run, n + 2u, start + term), x_at(run, n + 3u, start + term));
        if COLUMNS == 128u || four < 16u {
            right[term * PITCH + four] = vec4<f32>(w_at(run, o, start + term), w_at(run, o + 1u, start + term), w_at(run, o + 2u, start + term), w_at(run, o + 3u, start + term));
        }
        workgroupBarrier();
        for (var k = 0u; k < 8u; k++) {
            let upper = left[k * PITCH + row];
            let lower = left[k * PITCH + 16u + row];
            let near = right[k * PITCH + column];
            sum0 += upper.x * near;
            sum1 += upper.y * near;
            sum2 += upper.z * near;
            sum3 += upper.w * near;
            sum4 += lower.x * near;
            sum5 += lower.y * near;
            sum6 += lower.z * near;
            sum7 += lower.w * near;
            if COLUMNS == 128u {
                let far = right[k * PITCH + 16u + column];
                sum8 += upper.x * far;
                sum9 += upper.y * far;
                sum10 += upper.z * far;
                sum11 += upper.w * far;
                sum12 += lower.x * far;
                sum13 += lower.y * far;
                sum14 += lower.z * far;
                sum15 += lower.w * far;
            }
        }
        workgroupBarrier();
    }

    let to_row = first_row + row * 4u;
    let to_column = first_column + column * 4u;
    put(run, to_row, to_column, sum0);
    put(run, to_row + 1u, to_column, sum1);
    put(run, to_row + 2u, to_column, sum2);
    put(run, to_row + 3u, to_column, sum3);
    put(run, to_row + 64u, to_column, sum4);
    put(run, to_row + 65u, to_column, sum5);
    put(run, to_row + 66u, to_column, sum6);
    put(run, to_row + 67u, to_column, sum7);
    if COLUMNS == 128u {
        put(run, to_row, to_column + 64u, sum8);
        put(run, to_row + 1u, to_column + 64u, sum9);
        put(run, to_row + 2u, to_column + 64u, sum10);
        put(run, to_row + 3u, to_column + 64u, sum11);
        put(run, to_row + 64u, to_column + 64u, sum12);
        put(run, to_row + 65u, to_column + 64u, sum13);
        put(run, to_row + 66u, to_column + 64u, sum14);
        put(run, to_row + 67u, to_column + 64u, sum15);
    }
}
