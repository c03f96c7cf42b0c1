// dtable (V, width): row tokens[n] += row n of dy (N, width) times the scale, in the order of n. Each invocation gathers one element of one run's
// table, so nothing is added by two at once.

struct Params {
    // K · V · width.
    elements: u32,
    rows_per_run: u32,
    vocabulary: u32,
    width: u32,
    // The offset of the table's gradient in a run's gradients, and the number of elements of these.
    offset: u32,
    stride: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tokens: array<u32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> gradients: array<f32>;

fn element(i: u32) {
    if i >= params.elements {
        return;
    }
    let column = i % params.width;
    let token = i / params.width % params.vocabulary;
    let run = i / params.width / params.vocabulary;
    let place = run * params.stride + params.offset + token * params.width + column;
    var sum = gradients[place];
    for (var row = run * params.rows_per_run; row < (run + 1u) * params.rows_per_run; row++) {
        if tokens[row] == token {
            sum += dy[row * params.width + column] * params.scale;
        }
    }
    gradients[place] = sum;
}
