// dx (N, I) (+)= dy (N, O) W + dz A − dz₀ A₀, run by run; dz = s dy B and dz₀ = s dy B₀ come from `down`.

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
    // Where A begins in a run's trained elements, and how many there are of them.
    a_offset: u32,
    run_stride: u32,
    // 1 adds to what dx holds, 0 overwrites it.
    add: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<u32>;
@group(0) @binding(3) var<storage, read> dz: array<f32>;
@group(0) @binding(4) var<storage, read> trained: array<f32>;
@group(0) @binding(5) var<storage, read> frozen_dz: array<f32>;
@group(0) @binding(6) var<storage, read> frozen_pairs: array<f32>;
@group(0) @binding(7) var<storage, read_write> dx: array<f32>;

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

fn columns_from(i: u32) -> vec4<u32> {
    return min(vec4<u32>(i, i + 1u, i + 2u, i + 3u), vec4<u32>(params.inputs - 1u));
}

fn dy_at(rows: vec4<u32>, o: u32) -> vec4<f32> {
    let at = rows * params.outputs + min(o, params.outputs - 1u);
    return select(vec4<f32>(), vec4<f32>(dy[at.x], dy[at.y], dy[at.z], dy[at.w]), o < params.outputs);
}

fn w_at(o: u32, columns: vec4<u32>) -> vec4<f32> {
    let at = min(o, params.outputs - 1u) * params.inputs + columns;
    return select(vec4<f32>(), vec4<f32>(weight(at.x), weight(at.y), weight(at.z), weight(at.w)), o < params.outputs);
}

fn dz_at(rows: vec4<u32>, r: u32) -> vec4<f32> {
    let at = rows * params.rank + min(r, params.rank - 1u);
    return vec4<f32>(dz[at.x], dz[at.y], dz[at.z], dz[at.w]);
}

fn a_at(run: u32, r: u32, columns: vec4<u32>) -> vec4<f32> {
    let at = run * params.run_stride + params.a_offset + min(r, params.rank - 1u) * params.inputs + columns;
    return vec4<f32>(trained[at.x], trained[at.y], trained[at.z], trained[at.w]);
}

fn frozen_dz_at(rows: vec4<u32>, r: u32) -> vec4<f32> {
    let at = rows * params.rank + min(r, params.rank - 1u);
    return vec4<f32>(frozen_dz[at.x], frozen_dz[at.y], frozen_dz[at.z], frozen_dz[at.w]);
}

fn frozen_a_at(run: u32, r: u32, columns: vec4<u32>) -> vec4<f32> {
    let at = run * params.run_stride + params.a_offset + min(r, params.rank - 1u) * params.inputs + columns;
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
    if column < params.inputs {
        let place = (run * params.rows + row) * params.inputs + column;
        if params.add == 1u {
            dx[place] += value;
        } else {
            dx[place] = value;
        }
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
    // Where it loads: a term, and four neighbouring rows or columns. Neighbouring invocations read neighbouring elements: terms of the rows
    // lie side by side, columns of the matrices do.
    let left_term = local % 16u;
    let left_four = local / 16u;
    let right_term = local / 16u;
    let right_four = local % 16u;
    let rows = rows_from(run, first_row + left_four * 4u);
    let columns = columns_from(first_column + right_four * 4u);

    var sum = mat4x4<f32>();
    for (var start = 0u; start < params.outputs; start += 16u) {
        left[left_term * PITCH + left_four] = dy_at(rows, start + left_term);
        right[right_term * PITCH + right_four] = w_at(start + right_term, columns);
        workgroupBarrier();
        for (var k = 0u; k < 16u; k++) {
            sum += outer(left[k * PITCH + row], right[k * PITCH + column]);
        }
        workgroupBarrier();
    }
    for (var start = 0u; start < params.rank; start += 16u) {
        left[left_term * PITCH + left_four] = dz_at(rows, start + left_term);
        right[right_term * PITCH + right_four] = a_at(run, start + right_term, columns);
        workgroupBarrier();
        for (var k = 0u; k < min(16u, params.rank - start); k++) {
            sum += outer(left[k * PITCH + row], right[k * PITCH + column]);
        }
        workgroupBarrier();
    }
    if PAIRS == 1u {
        for (var start = 0u; start < params.rank; start += 16u) {
            left[left_term * PITCH + left_four] = frozen_dz_at(rows, start + left_term);
            right[right_term * PITCH + right_four] = frozen_a_at(run, start + right_term, columns);
            workgroupBarrier();
            for (var k = 0u; k < min(16u, params.rank - start); k++) {
                sum -= outer(left[k * PITCH + row], right[k * PITCH + column]);
            }
            workgroupBarrier();
        }
    }

    put(run, first_row + row * 4u, first_column + column * 4u, sum);
}
