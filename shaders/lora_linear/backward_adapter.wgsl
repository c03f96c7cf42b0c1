// gradient (R, C) += narrow (N, R)ᵀ · wide (N, C), run by run, times the run's scale where asked: with (dz, x) it is dA, with (z, dy) and
// the scale it is dBᵀ. The rows of a run are many and the elements few, so the sum over rows is what is cut.
//
// A workgroup makes 8 ranks of 32 columns. Its invocations take every eighth row of a column each; their eight shares are then added in order.

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
    // 1 multiplies by the run's scale.
    scaled: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> narrow: array<f32>;
@group(0) @binding(2) var<storage, read> wide: array<f32>;
// Four a run: scale, B's share of the learning rate, weight decay, largest norm of the gradient.
@group(0) @binding(3) var<storage, read> settings: array<f32>;
@group(0) @binding(4) var<storage, read_write> gradients: array<f32>;

// 128 rows of 8 ranks in two vectors.
var<workgroup> tile: array<vec4<f32>, 256>;
// Of each share and column, 8 ranks in two vectors.
var<workgroup> shares: array<vec4<f32>, 512>;

fn narrow_at(run: u32, n: u32, r: u32) -> f32 {
    if n < params.rows && r < params.rank {
        return narrow[(run * params.rows + n) * params.rank + r];
    }
    return 0.0;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let run = group.z;
    let first_rank = group.y * 8u;
    let first_column = group.x * 32u;
    let lane = local % 32u;
    let share = local / 32u;
    let column = first_column + lane;

    var low = vec4<f32>();
    var high = vec4<f32>();
    for (var start = 0u; start < params.rows; start += 128u) {
        let n = start + local / 2u;
        let r = first_rank + local % 2u * 4u;
        tile[local] = vec4<f32>(narrow_at(run, n, r), narrow_at(run, n, r + 1u), narrow_at(run, n, r + 2u), narrow_at(run, n, r + 3u));
        workgroupBarrier();
        let end = min(128u, params.rows - start);
        if column < params.columns {
            for (var row = share; row < end; row += 8u) {
                let factor = wide[(run * params.rows + start + row) * params.columns + column];
                low += factor * tile[row * 2u];
                high += factor * tile[row * 2u + 1u];
            }
        }
        workgroupBarrier();
    }
    shares[local * 2u] = low;
    shares[local * 2u + 1u] = high;
    workgroupBarrier();

    // One element an invocation: a column, and rank `share` of the eight.
    let r = first_rank + share;
    if r < params.rank && column < params.columns {
        var sum = 0.0;
        for (var other = 0u; other < 8u; other++) {
            sum += shares[(other * 32u + lane) * 2u + share / 4u][share % 4u];
        }
        let factor = select(1.0, settings[run * 4u], params.scaled == 1u);
        let place = params.offset + run * params.run_stride + r * params.rank_stride + column * params.column_stride;
        gradients[place] += factor * sum;
    }
}
