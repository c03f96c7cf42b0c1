// dw (I) += Σ over the rows of a run of dy · x · inverse_rms: the gradient of a trained gain. One invocation a column and run.

struct Params {
    runs: u32,
    rows_per_run: u32,
    width: u32,
    // Where the gain's gradient begins, and how many elements a run's gradients take.
    offset: u32,
    stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> inverse_rms: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> gradients: array<f32>;

fn element(i: u32) {
    if i >= params.runs * params.width {
        return;
    }
    let run = i / params.width;
    let column = i % params.width;
    let at = run * params.stride + params.offset + column;
    var sum = gradients[at];
    for (var row = run * params.rows_per_run; row < (run + 1u) * params.rows_per_run; row++) {
        let place = row * params.width + column;
        sum += dy[place] * (x[place] * inverse_rms[row]);
    }
    gradients[at] = sum;
}
