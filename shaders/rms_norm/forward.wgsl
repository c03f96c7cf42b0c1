// y (N, I) = x · g / √(mean(x²) + ε) over each row, and what it was divided by as inverse_rms (N). One workgroup a row.
// Zhang and Sennrich 2019, arXiv 1910.07467.

struct Params {
    // Of all runs.
    rows: u32,
    rows_per_run: u32,
    width: u32,
    epsilon: f32,
    weight_offset: u32,
    // Elements from one run's weights to the next; 0 where all share them.
    weight_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read_write> inverse_rms: array<f32>;

fn of_row(row: u32, local: u32) {
    let start = row * params.width;
    var sum = 0.0;
    for (var i = local; i < params.width; i += 64u) {
        sum += x[start + i] * x[start + i];
    }
    let inverse = inverseSqrt(total(local, sum) / f32(params.width) + params.epsilon);
    let gain = params.weight_offset + row / params.rows_per_run * params.weight_stride;
    for (var i = local; i < params.width; i += 64u) {
        y[start + i] = x[start + i] * inverse * gain_at(gain + i);
    }
    if local == 0u {
        inverse_rms[row] = inverse;
    }
}
