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

// The columns from `o`, those that are not there the last one again: they are summed like any other and not put.
fn outputs_from(o: u32) -> vec4<u32> {
    return min(vec4<u32>(o, o + 1u, o + 2u, o + 3u), vec4<u32>(params.outputs - 1u));
}

fn inputs_from(i: u32) -> vec4<u32> {
    return min(vec4<u32>(i, i + 1u, i + 2u, i + 3u), vec4<u32>(params.inputs - 1u));
}

fn dy_at(run: u32, n: u32, outputs: vec4<u32>) -> vec4<f32> {
    let at = (run * params.rows + min(n, params.rows - 1u)) * params.outputs + outputs;
    return select(vec4<f32>(), vec4<f32>(dy[at.x], dy[at.y], dy[at.z], dy[at.w]), n < params.rows);
}

fn x_at(run: u32, n: u32, inputs: vec4<u32>) -> vec4<f32> {
    let at = (run * params.rows + min(n, params.rows - 1u)) * params.inputs + inputs;
    return select(vec4<f32>(), vec4<f32>(x[at.x], x[at.y], x[at.z], x[at.w]), n < params.rows);
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
    if row < params.outputs {
        put_one(run, row, column, values.x);
        put_one(run, row, column + 1u, values.y);
        put_one(run, row, column + 2u, values.z);
        put_one(run, row, column + 3u, values.w);
    }
}

fn put_one(run: u32, row: u32, column: u32, value: f32) {
    if column < params.inputs {
        gradients[run * params.stride + params.offset + row * params.inputs + column] += value;
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
    // Where it loads: a term, and four neighbouring rows or columns. Both lie side by side.
    let term = local / 16u;
    let four = local % 16u;
    let outputs = outputs_from(first_row + four * 4u);
    let inputs = inputs_from(first_column + four * 4u);

    var sum = mat4x4<f32>();
    for (var start = 0u; start < params.rows; start += 16u) {
        left[term * PITCH + four] = dy_at(run, start + term, outputs);
        right[term * PITCH + four] = x_at(run, start + term, inputs);
        workgroupBarrier();
        for (var k = 0u; k < 16u; k++) {
            sum += outer(left[k * PITCH + row], right[k * PITCH + column]);
        }
        workgroupBarrier();
    }

    put(run, first_row + row * 4u, first_column + column * 4u, sum);
}
