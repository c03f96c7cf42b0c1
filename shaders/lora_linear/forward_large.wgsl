// y (N, O) = x (N, I) Wᵀ + s (z Bᵀ − z₀ B₀ᵀ), run by run; z = x Aᵀ and z₀ = x A₀ᵀ come from `down`. Hu et al. 2021, arXiv 2106.09685, §4.1.
//
// The two products of the adapters are summed apart, term for term in the same order, and subtracted before they meet x Wᵀ: so while the
// pairs are equal y is the base's, bit for bit.

// How the weights are stored: 0 is f32, 1 is f16, 2 is bf16; halves lie in pairs, the first in the low bits.
override FORMAT: u32 = 0u;
// 1 where the runs have a frozen second pair.
override PAIRS: u32 = 0u;
// Columns of a tile: 64 or 128.
override COLUMNS: u32 = 128u;

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

// Tiles of 128 rows by COLUMNS columns, over 16 terms of the sum at a time. An invocation has 16 rows, four and the fours that lie 32, 64 and 96
// below them, by four columns, and where COLUMNS is 128 by the four that lie 64 beside those. Both operands of a tile lie by term: four neighbours in
// a vector, 32 vectors a term. Within eight, the vectors of a term change places by its number, so that neither those who put a vector down nor
// those who take it meet in a bank.
var<workgroup> left: array<vec4<f32>, 512>;
var<workgroup> right: array<vec4<f32>, 512>;

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

// Where the vector of a term lies.
fn place(term: u32, four: u32) -> u32 {
    return term * 32u + (four ^ (term & 7u));
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

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let run = group.z;
    let first_row = group.y * 128u;
    let first_column = group.x * COLUMNS;
    // Which rows and columns this invocation computes.
    let column = local % 16u;
    let row = local / 16u;
    // Where it loads: a term, and four neighbouring rows or columns. Neighbouring invocations read neighbouring terms.
    let term = local % 16u;
    let four = local / 16u;
    let rows0 = rows_from(run, first_row + four * 4u);
    let rows1 = rows_from(run, first_row + 32u + four * 4u);
    let rows2 = rows_from(run, first_row + 64u + four * 4u);
    let rows3 = rows_from(run, first_row + 96u + four * 4u);
    let columns0 = columns_from(first_column + four * 4u);
    let columns1 = columns_from(first_column + 32u + four * 4u);
    let columns2 = columns_from(first_column + 64u + four * 4u);
    let columns3 = columns_from(first_column + 96u + four * 4u);

    var near0 = mat4x4<f32>();
    var near1 = mat4x4<f32>();
    var near2 = mat4x4<f32>();
    var near3 = mat4x4<f32>();
    var far0 = mat4x4<f32>();
    var far1 = mat4x4<f32>();
    var far2 = mat4x4<f32>();
    var far3 = mat4x4<f32>();
    for (var start = 0u; start < params.inputs; start += 16u) {
        left[place(term, four)] = x_at(rows0, start + term);
        left[place(term, 8u + four)] = x_at(rows1, start + term);
        left[place(term, 16u + four)] = x_at(rows2, start + term);
        left[place(term, 24u + four)] = x_at(rows3, start + term);
        right[place(term, four)] = w_at(columns0, start + term);
        right[place(term, 8u + four)] = w_at(columns1, start + term);
        if COLUMNS == 128u {
            right[place(term, 16u + four)] = w_at(columns2, start + term);
            right[place(term, 24u + four)] = w_at(columns3, start + term);
        }
        workgroupBarrier();
        for (var k = 0u; k < 16u; k++) {
            let left0 = left[place(k, row)];
            let left1 = left[place(k, 8u + row)];
            let left2 = left[place(k, 16u + row)];
            let left3 = left[place(k, 24u + row)];
            let near = right[place(k, column)];
            near0 += outer(left0, near);
            near1 += outer(left1, near);
            near2 += outer(left2, near);
            near3 += outer(left3, near);
            if COLUMNS == 128u {
                let far = right[place(k, 16u + column)];
                far0 += outer(left0, far);
                far1 += outer(left1, far);
                far2 += outer(left2, far);
                far3 += outer(left3, far);
            }
        }
        workgroupBarrier();
    }

    var low_near0 = mat4x4<f32>();
    var low_near1 = mat4x4<f32>();
    var low_near2 = mat4x4<f32>();
    var low_near3 = mat4x4<f32>();
    var low_far0 = mat4x4<f32>();
    var low_far1 = mat4x4<f32>();
    var low_far2 = mat4x4<f32>();
    var low_far3 = mat4x4<f32>();
    for (var start = 0u; start < params.rank; start += 16u) {
        left[place(term, four)] = z_at(rows0, start + term);
        left[place(term, 8u + four)] = z_at(rows1, start + term);
        left[place(term, 16u + four)] = z_at(rows2, start + term);
        left[place(term, 24u + four)] = z_at(rows3, start + term);
        right[place(term, four)] = b_at(run, columns0, start + term);
        right[place(term, 8u + four)] = b_at(run, columns1, start + term);
        if COLUMNS == 128u {
            right[place(term, 16u + four)] = b_at(run, columns2, start + term);
            right[place(term, 24u + four)] = b_at(run, columns3, start + term);
        }
        workgroupBarrier();
        for (var k = 0u; k < min(16u, params.rank - start); k++) {
            let left0 = left[place(k, row)];
            let left1 = left[place(k, 8u + row)];
            let left2 = left[place(k, 16u + row)];
            let left3 = left[place(k, 24u + row)];
            let near = right[place(k, column)];
            low_near0 += outer(left0, near);
            low_near1 += outer(left1, near);
            low_near2 += outer(left2, near);
            low_near3 += outer(left3, near);
            if COLUMNS == 128u {
                let far = right[place(k, 16u + column)];
                low_far0 += outer(left0, far);
                low_far1 += outer(left1, far);
                low_far2 += outer(left2, far);
                low_far3 += outer(left3, far);
            }
        }
        workgroupBarrier();
    }

    if PAIRS == 1u {
        var frozen_near0 = mat4x4<f32>();
        var frozen_near1 = mat4x4<f32>();
        var frozen_near2 = mat4x4<f32>();
        var frozen_near3 = mat4x4<f32>();
        var frozen_far0 = mat4x4<f32>();
        var frozen_far1 = mat4x4<f32>();
        var frozen_far2 = mat4x4<f32>();
        var frozen_far3 = mat4x4<f32>();
        for (var start = 0u; start < params.rank; start += 16u) {
            left[place(term, four)] = frozen_z_at(rows0, start + term);
            left[place(term, 8u + four)] = frozen_z_at(rows1, start + term);
            left[place(term, 16u + four)] = frozen_z_at(rows2, start + term);
            left[place(term, 24u + four)] = frozen_z_at(rows3, start + term);
            right[place(term, four)] = frozen_b_at(run, columns0, start + term);
            right[place(term, 8u + four)] = frozen_b_at(run, columns1, start + term);
            if COLUMNS == 128u {
                right[place(term, 16u + four)] = frozen_b_at(run, columns2, start + term);
                right[place(term, 24u + four)] = frozen_b_at(run, columns3, start + term);
            }
            workgroupBarrier();
            for (var k = 0u; k < min(16u, params.rank - start); k++) {
                let left0 = left[place(k, row)];
                let left1 = left[place(k, 8u + row)];
                let left2 = left[place(k, 16u + row)];
                let left3 = left[place(k, 24u + row)];
                let near = right[place(k, column)];
                frozen_near0 += outer(left0, near);
                frozen_near1 += outer(left1, near);
                frozen_near2 += outer(left2, near);
                frozen_near3 += outer(left3, near);
                if COLUMNS == 128u {
                    let far = right[place(k, 16u + column)];
                    frozen_far0 += outer(left0, far);
                    frozen_far1 += outer(left1, far);
                    frozen_far2 += outer(left2, far);
                    frozen_far3 += outer(left3, far);
                }
            }
            workgroupBarrier();
        }
        low_near0 -= frozen_near0;
        low_near1 -= frozen_near1;
        low_near2 -= frozen_near2;
        low_near3 -= frozen_near3;
        low_far0 -= frozen_far0;
        low_far1 -= frozen_far1;
        low_far2 -= frozen_far2;
        low_far3 -= frozen_far3;
    }

    let scale = settings[run * 4u];
    let to_row = first_row + row * 4u;
    let to_column = first_column + column * 4u;
    put(run, to_row, to_column, near0 + scale * low_near0);
    put(run, to_row + 32u, to_column, near1 + scale * low_near1);
    put(run, to_row + 64u, to_column, near2 + scale * low_near2);
    put(run, to_row + 96u, to_column, near3 + scale * low_near3);
    if COLUMNS == 128u {
        put(run, to_row, to_column + 64u, far0 + scale * low_far0);
        put(run, to_row + 32u, to_column + 64u, far1 + scale * low_far1);
        put(run, to_row + 64u, to_column + 64u, far2 + scale * low_far2);
        put(run, to_row + 96u, to_column + 64u, far3 + scale * low_far3);
    }
}
