// dx (N, I) (+)= c · (g dy − x · c² · mean(g dy x)), where c = inverse_rms of the row as the forward pass left it. One workgroup a row.

struct Params {
    // Of all runs.
    rows: u32,
    rows_per_run: u32,
    width: u32,
    weight_offset: u32,
    // Elements from one run's weights to the next; 0 where all share them.
    weight_stride: u32,
    // 1 adds to what dx holds, 0 overwrites it.
    add: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<u32>;
@group(0) @binding(3) var<storage, read> inverse_rms: array<f32>;
@group(0) @binding(4) var<storage, read> dy: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;

fn of_row(row: u32, local: u32) {
    let start = row * params.width;
    let gain = params.weight_offset + row / params.rows_per_run * params.weight_stride;
    var sum = 0.0;
    for (var i = local; i < params.width; i += 64u) {
        sum += gain_at(gain + i) * dy[start + i] * x[start + i];
    }
    let inverse = inverse_rms[row];
    let along = inverse * inverse * (total(local, sum) / f32(params.width));
    for (var i = local; i < params.width; i += 64u) {
        let gradient = inverse * (gain_at(gain + i) * dy[start + i] - x[start + i] * along);
        if params.add == 1u {
            dx[start + i] += gradient;
        } else {
            dx[start + i] = gradient;
        }
    }
}
