// dW (O, I) += dy (N, O)ᵀ · x (N, I), run by run: the gradient of a trained weight. Its terms are the rows of a run.

struct Params {
    // Of one run.
    rows: u32,
    inputs: u32,
    outputs: u32,
    // The offset of the weight's gradient in a run's gradients, and the number of elements of these.
    offset: u32,
    stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> gradients: array<f32>;

const LEFT_BY_TERM: bool = false;
const RIGHT_BY_TERM: bool = false;

fn terms(source: u32) -> u32 {
    return params.rows;
}

// The indices of the four outputs in the run's first row of dy.
fn rows_from(run: u32, o: u32) -> vec4<u32> {
    return run * params.rows * params.outputs + four_from(o, params.outputs);
}

fn columns_from(i: u32) -> vec4<u32> {
    return four_from(i, params.inputs);
}

fn left_at(source: u32, outputs: vec4<u32>, n: u32) -> vec4<f32> {
    let at = min(n, params.rows - 1u) * params.outputs + outputs;
    return select(vec4<f32>(), vec4<f32>(dy[at.x], dy[at.y], dy[at.z], dy[at.w]), n < params.rows);
}

fn right_at(source: u32, run: u32, inputs: vec4<u32>, n: u32) -> vec4<f32> {
    let at = (run * params.rows + min(n, params.rows - 1u)) * params.inputs + inputs;
    return select(vec4<f32>(), vec4<f32>(x[at.x], x[at.y], x[at.z], x[at.w]), n < params.rows);
}

fn result(tile: Tile) -> Sums {
    return product(BASE, tile, Sums());
}

fn put_one(run: u32, row: u32, column: u32, value: f32) {
    if row < params.outputs && column < params.inputs {
        gradients[run * params.stride + params.offset + row * params.inputs + column] += value;
    }
}
