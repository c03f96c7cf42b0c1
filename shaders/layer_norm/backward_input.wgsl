// dx (N, I) (+)= c · (g − mean(g) − (x − μ) · c² · mean(g (x − μ))) with g = w dy, and μ and c of the row as the forward pass left them. One workgroup a row.

struct Params {
    // Of all runs.
    rows: u32,
    width: u32,
    rows_per_run: u32,
    // 1 adds to what dx holds, 0 overwrites it.
    add: u32,
    weight_offset: u32,
    // Elements from one run's weights to the next; 0 where all share them.
    weight_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<u32>;
@group(0) @binding(3) var<storage, read> mean: array<f32>;
@group(0) @binding(4) var<storage, read> inverse_deviation: array<f32>;
@group(0) @binding(5) var<storage, read> dy: array<f32>;
@group(0) @binding(6) var<storage, read_write> dx: array<f32>;

fn of_row(row: u32, local: u32) {
    let start = row * params.width;
    let gain = params.weight_offset + row / params.rows_per_run * params.weight_stride;
    let center = mean[row];
    let inverse = inverse_deviation[row];
    var sum = 0.0;
    var sum_along = 0.0;
    for (var i = local; i < params.width; i += 64u) {
        let scaled = weight(gain + i) * dy[start + i];
        sum += scaled;
        sum_along += scaled * (x[start + i] - center);
    }
    let shift = total(local, sum) / f32(params.width);
    let along = inverse * inverse * (total(local, sum_along) / f32(params.width));
    for (var i = local; i < params.width; i += 64u) {
        let change = inverse * (weight(gain + i) * dy[start + i] - shift - (x[start + i] - center) * along);
        if params.add == 1u {
            dx[start + i] += change;
        } else {
            dx[start + i] = change;
        }
    }
}
