// gradient (R, C) += narrow (N, R)ᵀ · wide (N, C), run by run, times the adapter's scale where asked: with (dz, x) it is dA, with (z, dy) and
// the scale it is dBᵀ. The rows of a run are many and the elements few, so the sum over rows is what is cut.
//
// A workgroup makes 8 ranks of 32 columns. Its invocations take four columns of 8 ranks and every eighth row each; their eight shares are then
// added in order. Ranks and columns that are not there repeat the last one's numbers and are not put.

struct Params {
    // Of one run.
    rows: u32,
    rank: u32,
    columns: u32,
    // Element (r, c) lies at offset + run · run_stride + r · rank_stride + c · column_stride of the gradients.
    offset: u32,
    run_stride: u32,
    rank_stride: u32,
    column_stride: u32,
    // 1 multiplies by the adapter's scale, which is this multiple of the run's.
    scaled: u32,
    factor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> narrow: array<f32>;
@group(0) @binding(2) var<storage, read> wide: array<f32>;
// Four a run: scale, B's share of the learning rate, weight decay, largest norm of the gradient.
@group(0) @binding(3) var<storage, read> settings: array<f32>;
@group(0) @binding(4) var<storage, read_write> gradients: array<f32>;

// 128 rows of 8 ranks in two vectors.
var<workgroup> tile: array<vec4<f32>, 256>;
// Of each share and rank, 32 columns in eight vectors: a column and those 8, 16 and 24 beside it.
var<workgroup> shares: array<vec4<f32>, 512>;

fn narrow_at(row: u32, r: u32) -> f32 {
    return narrow[row * params.rank + min(r, params.rank - 1u)];
}

fn wide_at(row: u32, column: u32) -> f32 {
    return wide[row * params.columns + min(column, params.columns - 1u)];
}

fn put(run: u32, r: u32, column: u32, value: f32) {
    if column < params.columns {
        gradients[params.offset + run * params.run_stride + r * params.rank_stride + column * params.column_stride] += value;
    }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let run = group.z;
    let first_rank = group.y * 8u;
    let lane = local % 8u;
    let share = local / 8u;
    let column = group.x * 32u + lane;

    var sum0 = vec4<f32>();
    var sum1 = vec4<f32>();
    var sum2 = vec4<f32>();
    var sum3 = vec4<f32>();
    var sum4 = vec4<f32>();
    var sum5 = vec4<f32>();
    var sum6 = vec4<f32>();
    var sum7 = vec4<f32>();
    for (var start = 0u; start < params.rows; start += 128u) {
        let r = first_rank + local % 2u * 4u;
        for (var step = 0u; step < 4u; step++) {
            let place = step * 64u + local;
            let n = start + place / 2u;
            let row = run * params.rows + min(n, params.rows - 1u);
            let values = vec4<f32>(narrow_at(row, r), narrow_at(row, r + 1u), narrow_at(row, r + 2u), narrow_at(row, r + 3u));
            tile[place] = select(vec4<f32>(), values, n < params.rows);
        }
        workgroupBarrier();
        for (var step = 0u; step < 16u; step++) {
            let n = step * 8u + share;
            let row = run * params.rows + min(start + n, params.rows - 1u);
            let columns = vec4<f32>(wide_at(row, column), wide_at(row, column + 8u), wide_at(row, column + 16u), wide_at(row, column + 24u));
            let low = tile[n * 2u];
            let high = tile[n * 2u + 1u];
            sum0 += low.x * columns;
            sum1 += low.y * columns;
            sum2 += low.z * columns;
            sum3 += low.w * columns;
            sum4 += high.x * columns;
            sum5 += high.y * columns;
            sum6 += high.z * columns;
            sum7 += high.w * columns;
        }
        workgroupBarrier();
    }
    let place = share * 64u + lane;
    shares[place] = sum0;
    shares[place + 8u] = sum1;
    shares[place + 16u] = sum2;
    shares[place + 24u] = sum3;
    shares[place + 32u] = sum4;
    shares[place + 40u] = sum5;
    shares[place + 48u] = sum6;
    shares[place + 56u] = sum7;
    workgroupBarrier();

    // Four columns of a rank an invocation.
    var sum = vec4<f32>();
    for (var other = 0u; other < 8u; other++) {
        sum += shares[other * 64u + local];
    }
    let r = first_rank + share;
    if r < params.rank {
        sum *= select(1.0, settings[run * 4u] * params.factor, params.scaled == 1u);
        put(run, r, column, sum.x);
        put(run, r, column + 8u, sum.y);
        put(run, r, column + 16u, sum.z);
        put(run, r, column + 24u, sum.w);
    }
}
