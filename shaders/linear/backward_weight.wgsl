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

fn x_at(run: u32, n: u32, i: u32) -> f32 {
    if n < params.rows && i < params.inputs {
        return x[(run * params.rows + n) * params.inputs + i];
    }
    return 0.0;
}

fn dy_at(run: u32, n: u32, o: u32) -> f32 {
    if n < params.rows && o < params.outputs {
        return dy[(run * params.rows + n) * params.outputs + o];
    }
    return 0.0;
}

fn put(run: u32, row: u32, column: u32, values: vec4<f32>) {
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
    let o = first_row + four * 4u;
    let i = first_column + four * 4u;

    var sum0 = vec4<f32>();
    var sum1 = vec4<f32>();
    var sum2 = vec4<f32>();
    var sum3 = vec4<f32>();
    for (var start = 0u; start < params.rows; start += 16u) {
        left[term * PITCH + four] = vec4<f32>(dy_at(run, start + term, o), dy_at(run, start + term, o + 1u), dy_at(run, start + term, o + 2u), dy_at(run, start + term, o + 3u));
        right[term * PITCH + four] = vec4<f32>(x_at(run, start + term, i), x_at(run, start + term, i + 1u), x_at(run, start + term, i + 2u), x_at(run, start + term, i + 3u));
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

    let to_row = first_row + row * 4u;
    let to_column = first_column + column * 4u;
    put(run, to_row, to_column, sum0);
    put(run, to_row + 1u, to_column, sum1);
    put(run, to_row + 2u, to_column, sum2);
    put(run, to_row + 3u, to_column, sum3);
}
