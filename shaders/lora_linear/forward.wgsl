// y (N, O) = x (N, I) Wᵀ + s (z Bᵀ − z₀ B₀ᵀ), run by run; z = x Aᵀ and z₀ = x A₀ᵀ come from `down`. Hu et al. 2021, arXiv 2106.09685, §4.1.
//
// The two products of the adapters are summed apart, term for term in the same order, and subtracted before they meet x Wᵀ: so while the
// pairs are equal y is the base's, bit for bit.

// How the weights are stored: 0 is f32, 1 is f16, 2 is bf16; halves lie in pairs, the first in the low bits.
override FORMAT: u32 = 0u;
// 1 where the runs have a frozen second pair.
override PAIRS: u32 = 0u;

struct Params {
    // Of one run.
    rows: u32,
    inputs: u32,
    outputs: u32,
    rank: u32,
    // Where B begins in a run's trained elements, and how many there are of them.
    b_offset: u32,
    run_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<u32>;
@group(0) @binding(3) var<storage, read> z: array<f32>;
@group(0) @binding(4) var<storage, read> trained: array<f32>;
// Four a run: scale, B's share of the learning rate, weight decay, largest norm of the gradient.
@group(0) @binding(5) var<storage, read> settings: array<f32>;
@group(0) @binding(6) var<storage, read> frozen_z: array<f32>;
@group(0) @binding(7) var<storage, read> frozen_pairs: array<f32>;
@group(0) @binding(8) var<storage, read_write> y: array<f32>;

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

// The rows from `n`, those that are not there the last one again: they are summed like any other and not put.
fn rows_from(run: u32, n: u32) -> vec4<u32> {
    return run * params.rows + min(vec4<u32>(n, n + 1u, n + 2u, n + 3u), vec4<u32>(params.rows - 1u));
}

fn columns_from(o: u32) -> vec4<u32> {
    return min(vec4<u32>(o, o + 1u, o + 2u, o + 3u), vec4<u32>(params.outputs - 1u));
}

fn x_at(rows: vec4<u32>, i: u32) -> vec4<f32> {
    let at = rows * params.inputs + min(i, params.inputs - 1u);
    return select(vec4<f32>(), vec4<f32>(x[at.x], x[at.y], x[at.z], x[at.w]), i < params.inputs);
}

fn w_at(columns: vec4<u32>, i: u32) -> vec4<f32> {
    let at = columns * params.inputs + min(i, params.inputs - 1u);
    return select(vec4<f32>(), vec4<f32>(weight(at.x), weight(at.y), weight(at.z), weight(at.w)), i < params.inputs);
}

fn z_at(rows: vec4<u32>, r: u32) -> vec4<f32> {
    let at = rows * params.rank + min(r, params.rank - 1u);
    return vec4<f32>(z[at.x], z[at.y], z[at.z], z[at.w]);
}

fn b_at(run: u32, columns: vec4<u32>, r: u32) -> vec4<f32> {
    let at = run * params.run_stride + params.b_offset + columns * params.rank + min(r, params.rank - 1u);
    return vec4<f32>(trained[at.x], trained[at.y], trained[at.z], trained[at.w]);
}

fn frozen_z_at(rows: vec4<u32>, r: u32) -> vec4<f32> {
    let at = rows * params.rank + min(r, params.rank - 1u);
    return vec4<f32>(frozen_z[at.x], frozen_z[at.y], frozen_z[at.z], frozen_z[at.w]);
}

fn frozen_b_at(run: u32, columns: vec4<u32>, r: u32) -> vec4<f32> {
    let at = run * params.run_stride + params.b_offset + columns * params.rank + min(r, params.rank - 1u);
    return vec4<f32>(frozen_pairs[at.x], frozen_pairs[at.y], frozen_pairs[at.z], frozen_pairs[at.w]);
}

// The products of four rows' numbers with four columns'.
fn outer(rows: vec4<f32>, columns: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(rows.x * columns, rows.y * columns, rows.z * columns, rows.w * columns);
}

fn put(run: u32, row: u32, column: u32, values: mat4x4<f32>) {
    put_row(run, row, column, values[0]);
    put_row(run, row + 1u, column, values[1]);
    put_row(run, row + 2u, column, values[2]);
    put_row(run, row + 3u, column, values[3]);
}

fn put_row(run: u32, row: u32, column: u32, values: vec4<f32>) {
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
    let first_row = group.y * 64u;
    let first_column = group.x * 64u;
    // Which four by four this invocation computes.
    let column = local % 16u;
    let row = local / 16u;
    // Where it loads: a term, and four neighbouring rows or columns. Neighbouring invocations read neighbouring terms.
    let term = local % 16u;
    let four = local / 16u;
    let rows = rows_from(run, first_row + four * 4u);
    let columns = columns_from(first_column + four * 4u);

    var sum = mat4x4<f32>();
    for (var start = 0u; start < params.inputs; start += 16u) {
        left[term * PITCH + four] = x_at(rows, start + term);
        right[term * PITCH + four] = w_at(columns, start + term);
        workgroupBarrier();
        for (var k = 0u; k < 16u; k++) {
            sum += outer(left[k * PITCH + row], right[k * PITCH + column]);
        }
        workgroupBarrier();
    }

    var low = mat4x4<f32>();
    for (var start = 0u; start < params.rank; start += 16u) {
        left[term * PITCH + four] = z_at(rows, start + term);
        right[term * PITCH + four] = b_at(run, columns, start + term);
        workgroupBarrier();
        for (var k = 0u; k < min(16u, params.rank - start); k++) {
            low += outer(left[k * PITCH + row], right[k * PITCH + column]);
        }
        workgroupBarrier();
    }

    if PAIRS == 1u {
        var frozen = mat4x4<f32>();
        for (var start = 0u; start < params.rank; start += 16u) {
            left[term * PITCH + four] = frozen_z_at(rows, start + term);
            right[term * PITCH + four] = frozen_b_at(run, columns, start + term);
            workgroupBarrier();
            for (var k = 0u; k < min(16u, params.rank - start); k++) {
                frozen += outer(left[k * PITCH + row], right[k * PITCH + column]);
            }
            workgroupBarrier();
        }
        low -= frozen;
    }

    let scale = settings[run * 4u];
    put(run, first_row + row * 4u, first_column + column * 4u, sum + scale * low);
}
