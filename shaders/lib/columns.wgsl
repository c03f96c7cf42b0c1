// The gradient of a trained vector that meets every row: one invocation a column and run. The kernel defines
// `term(row, column)`, which is summed over the rows of a run in order.

struct Params {
    runs: u32,
    rows_per_run: u32,
    width: u32,
    // The offset of the vector's gradient in a run's gradients, and the number of elements of these.
    offset: u32,
    stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> gradients: array<f32>;

fn element(i: u32) {
    if i >= params.runs * params.width {
        return;
    }
    let run = i / params.width;
    let column = i % params.width;
    let at = run * params.stride + params.offset + column;
    var sum = gradients[at];
    for (var row = run * params.rows_per_run; row < (run + 1u) * params.rows_per_run; row++) {
        sum += term(row, column);
    }
    gradients[at] = sum;
}
