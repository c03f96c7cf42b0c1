// dx (N, I) (+)= dy (N, O) · W (O, I), run by run.

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
    // 1 adds to what dx holds, 0 overwrites it.
    add: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<u32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

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

fn columns_from(i: u32) -> vec4<u32> {
    return min(vec4<u32>(i, i + 1u, i + 2u, i + 3u), vec4<u32>(params.inputs - 1u));
}

fn dy_at(rows: vec4<u32>, o: u32) -> vec4<f32> {
    let at = rows * params.outputs + min(o, params.outputs - 1u);
    return select(vec4<f32>(), vec4<f32>(dy[at.x], dy[at.y], dy[at.z], dy[at.w]), o < params.outputs);
}

fn w_at(run: u32, o: u32, columns: vec4<u32>) -> vec4<f32> {
    let at = params.weight_offset + run * params.weight_stride + min(o, params.outputs - 1u) * params.inputs + columns;
    return select(vec4<f32>(), vec4<f32>(weight(at.x), weight(at.y), weight(at.z), weight(at.w)), o < params.outputs);
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

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let run = group.z;
    let first_row = group.y * 128u;
    let first_column = group.x * COLUMNS;
    // Which rows and columns this invocation computes.
    let column = local % 16u;
    let row = local / 16u;
    // Where it loads: a term, and four neighbouring rows or columns. Neighbouring invocations read neighbouring elements: terms of the rows
    // lie side by side, columns of the matrices do.
    let left_term = local % 16u;
    let left_four = local / 16u;
    let right_term = local / 32u;
    let right_four = local % 32u;
    let rows0 = rows_from(run, first_row + left_four * 4u);
    let rows1 = rows_from(run, first_row + 32u + left_four * 4u);
    let rows2 = rows_from(run, first_row + 64u + left_four * 4u);
    let rows3 = rows_from(run, first_row + 96u + left_four * 4u);
    let columns = columns_from(first_column + right_four * 4u);

    var near0 = mat4x4<f32>();
    var near1 = mat4x4<f32>();
    var near2 = mat4x4<f32>();
    var near3 = mat4x4<f32>();
    var far0 = mat4x4<f32>();
    var far1 = mat4x4<f32>();
    var far2 = mat4x4<f32>();
    var far3 = mat4x4<f32>();
    for (var start = 0u; start < params.outputs; start += 16u) {
        left[place(left_term, left_four)] = dy_at(rows0, start + left_term);
        left[place(left_term, 8u + left_four)] = dy_at(rows1, start + left_term);
        left[place(left_term, 16u + left_four)] = dy_at(rows2, start + left_term);
        left[place(left_term, 24u + left_four)] = dy_at(rows3, start + left_term);
        if COLUMNS == 128u || right_four < 16u {
            right[place(right_term, right_four)] = w_at(run, start + right_term, columns);
            right[place(4u + right_term, right_four)] = w_at(run, start + 4u + right_term, columns);
            right[place(8u + right_term, right_four)] = w_at(run, start + 8u + right_term, columns);
            right[place(12u + right_term, right_four)] = w_at(run, start + 12u + right_term, columns);
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

    let to_row = first_row + row * 4u;
    let to_column = first_column + column * 4u;
    put(run, to_row, to_column, near0);
    put(run, to_row + 32u, to_column, near1);
    put(run, to_row + 64u, to_column, near2);
    put(run, to_row + 96u, to_column, near3);
    if COLUMNS == 128u {
        put(run, to_row, to_column + 64u, far0);
        put(run, to_row + 32u, to_column + 64u, far1);
        put(run, to_row + 64u, to_column + 64u, far2);
        put(run, to_row + 96u, to_column + 64u, far3);
    }
}
