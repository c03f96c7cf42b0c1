// dw (I) += Σ over the rows of a run of dy · (x − μ) · c: the gradient of a trained gain.

@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read> mean: array<f32>;
@group(0) @binding(5) var<storage, read> inverse_deviation: array<f32>;

fn term(row: u32, column: u32) -> f32 {
    let place = row * params.width + column;
    return dy[place] * ((x[place] - mean[row]) * inverse_deviation[row]);
}
