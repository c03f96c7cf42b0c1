// z (N, R) = x (N, I) · M (R, I)ᵀ, run by run, times the adapter's scale where asked: the narrow product on either side of an adapter.
// With M = A it is z = x Aᵀ; with M = Bᵀ and the scale it is dz = s dy B.
//
// A workgroup makes 32 rows of 8 ranks, over 32 terms of the sum at a time. Its invocations take four rows of 8 ranks and every eighth term
// each; their eight shares are then added in order. Rows and ranks that are not there repeat the last one's numbers and are not put.

struct Params {
    // Of one run.
    rows: u32,
    inputs: u32,
    rank: u32,
    // Element (r, i) of M lies at offset + run · run_stride + r · rank_stride + i · input_stride.
    offset: u32,
    run_stride: u32,
    rank_stride: u32,
    input_stride: u32,
    // 1 multiplies by the adapter's scale, which is this multiple of the run's.
    scaled: u32,
    factor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> matrix: array<f32>;
// Four a run: scale, B's share of the learning rate, weight decay, largest norm of the gradient.
@group(0) @binding(3) var<storage, read> settings: array<f32>;
@group(0) @binding(4) var<storage, read_write> z: array<f32>;

// Of each term four neighbouring rows in a vector, eight vectors, and one of padding against bank conflicts.
const PITCH: u32 = 9u;

var<workgroup> left: array<vec4<f32>, 288>;
// Of each term 8 ranks in two vectors.
var<workgroup> right: array<vec4<f32>, 64>;
// Of each share and row, 8 ranks in two vectors.
var<workgroup> shares: array<vec4<f32>, 512>;

fn x_at(run: u32, n: u32, i: u32) -> f32 {
    return x[(run * params.rows + min(n, params.rows - 1u)) * params.inputs + i];
}

fn matrix_at(run: u32, r: u32, i: u32) -> f32 {
    return matrix[params.offset + run * params.run_stride + min(r, params.rank - 1u) * params.rank_stride + i * params.input_stride];
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let run = group.z;
    let first_row = group.y * 32u;
    let first_rank = group.x * 8u;
    // The four rows and the eighth of the terms that this invocation multiplies.
    let four = local % 8u;
    let share = local / 8u;
    // The term that it loads, and its half of the rows and ranks. Neighbouring invocations read neighbouring terms.
    let term = local % 32u;
    let part = local / 32u;

    var low0 = vec4<f32>();
    var low1 = vec4<f32>();
    var low2 = vec4<f32>();
    var low3 = vec4<f32>();
    var high0 = vec4<f32>();
    var high1 = vec4<f32>();
    var high2 = vec4<f32>();
    var high3 = vec4<f32>();
    for (var start = 0u; start < params.inputs; start += 32u) {
        let i = min(start + term, params.inputs - 1u);
        let inside = start + term < params.inputs;
        for (var step = 0u; step < 4u; step++) {
            let rows = step * 2u + part;
            let n = first_row + rows * 4u;
            let values = vec4<f32>(x_at(run, n, i), x_at(run, n + 1u, i), x_at(run, n + 2u, i), x_at(run, n + 3u, i));
            left[term * PITCH + rows] = select(vec4<f32>(), values, inside);
        }
        let r = first_rank + part * 4u;
        let values = vec4<f32>(matrix_at(run, r, i), matrix_at(run, r + 1u, i), matrix_at(run, r + 2u, i), matrix_at(run, r + 3u, i));
        right[term * 2u + part] = select(vec4<f32>(), values, inside);
        workgroupBarrier();
        for (var step = 0u; step < 4u; step++) {
            let k = step * 8u + share;
            let rows = left[k * PITCH + four];
            let low = right[k * 2u];
            let high = right[k * 2u + 1u];
            low0 += rows.x * low;
            low1 += rows.y * low;
            low2 += rows.z * low;
            low3 += rows.w * low;
            high0 += rows.x * high;
            high1 += rows.y * high;
            high2 += rows.z * high;
            high3 += rows.w * high;
        }
        workgroupBarrier();
    }
    let place = share * 64u + four * 8u;
    shares[place] = low0;
    shares[place + 1u] = high0;
    shares[place + 2u] = low1;
    shares[place + 3u] = high1;
    shares[place + 4u] = low2;
    shares[place + 5u] = high2;
    shares[place + 6u] = low3;
    shares[place + 7u] = high3;
    workgroupBarrier();

    // Half of a row an invocation.
    var sum = vec4<f32>();
    for (var other = 0u; other < 8u; other++) {
        sum += shares[other * 64u + local];
    }
    let n = first_row + local / 2u;
    let r = first_rank + local % 2u * 4u;
    if n < params.rows {
        let factor = select(1.0, settings[run * 4u] * params.factor, params.scaled == 1u);
        for (var lane = 0u; lane < min(4u, params.rank - min(r, params.rank)); lane++) {
            z[(run * params.rows + n) * params.rank + r + lane] = factor * sum[lane];
        }
    }
}
