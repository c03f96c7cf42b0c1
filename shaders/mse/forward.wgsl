// row_loss (N) = weight · Σ (prediction − expected)², the sum over the O outputs of a row; exactly 0 in rows of weight 0, whatever they hold.

struct Params {
    rows: u32,
    outputs: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> prediction: array<f32>;
@group(0) @binding(2) var<storage, read> expected: array<f32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> row_loss: array<f32>;

fn element(row: u32) {
    if row >= params.rows {
        return;
    }
    var sum = 0.0;
    for (var i = row * params.outputs; i < (row + 1u) * params.outputs; i++) {
        let difference = prediction[i] - expected[i];
        sum += difference * difference;
    }
    row_loss[row] = select(0.0, weights[row] * sum, weights[row] != 0.0);
}
