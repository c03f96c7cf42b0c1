// y (N, I) = (x − μ) · c · w with the mean μ of each row and c = 1 / √(mean((x − μ)²) + ε), which the backward pass needs as mean (N) and
// inverse_deviation (N). One workgroup a row. Ba, Kiros, Hinton 2016, arXiv 1607.06450.

struct Params {
    // Of all runs.
    rows: u32,
    width: u32,
    epsilon: f32,
    rows_per_run: u32,
    weight_offset: u32,
    // Elements from one run's weights to the next; 0 where all share them.
    weight_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read_write> mean: array<f32>;
@group(0) @binding(5) var<storage, read_write> inverse_deviation: array<f32>;

fn of_row(row: u32, local: u32) {
    let start = row * params.width;
    var sum = 0.0;
    for (var i = local; i < params.width; i += 64u) {
        sum += x[start + i];
    }
    let center = total(local, sum) / f32(params.width);
    var square = 0.0;
    for (var i = local; i < params.width; i += 64u) {
        square += (x[start + i] - center) * (x[start + i] - center);
    }
    let inverse = inverseSqrt(total(local, square) / f32(params.width) + params.epsilon);
    let gain = params.weight_offset + row / params.rows_per_run * params.weight_stride;
    for (var i = local; i < params.width; i += 64u) {
        y[start + i] = (x[start + i] - center) * inverse * weight(gain + i);
    }
    if local == 0u {
        mean[row] = center;
        inverse_deviation[row] = inverse;
    }
}
