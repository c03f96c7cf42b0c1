// dw (I) += Σ over the rows of a run of dy · x · inverse_rms: the gradient of a trained gain.

@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read> inverse_rms: array<f32>;

fn term(row: u32, column: u32) -> f32 {
    let place = row * params.width + column;
    return dy[place] * (x[place] * inverse_rms[row]);
}
