// dx (N, I) (+)= dy (N, O) W + dz A − dz₀ A₀, run by run; dz = s dy B and dz₀ = s dy B₀ come from `down`. With dropout dz A is the gradient of
// A's masked input instead, and left out here.

// 1 where the runs have a frozen second pair.
override PAIRS: u32 = 0u;
// 1 where A reads a masked input.
override DROPS: u32 = 0u;

struct Params {
    // Of one run.
    rows: u32,
    inputs: u32,
    outputs: u32,
    rank: u32,
    // The offset of A in a run's trained elements, and the number of these.
    a_offset: u32,
    run_stride: u32,
    // 1 adds to what dx holds, 0 overwrites it.
    add: u32,
    // Columns of dy, and the one that the first of these outputs is: a matrix may be bound in parts.
    columns: u32,
    first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<u32>;
@group(0) @binding(3) var<storage, read> dz: array<f32>;
@group(0) @binding(4) var<storage, read> trained: array<f32>;
@group(0) @binding(5) var<storage, read> frozen_dz: array<f32>;
@group(0) @binding(6) var<storage, read> frozen_pairs: array<f32>;
@group(0) @binding(7) var<storage, read_write> dx: array<f32>;

fn terms(source: u32) -> u32 {
    return select(params.rank, params.outputs, source == BASE);
}

fn left_at(source: u32, rows: vec4<u32>, term: u32) -> vec4<f32> {
    let at = rows * terms(source) + min(term, terms(source) - 1u);
    if source == ADAPTER {
        return vec4<f32>(dz[at.x], dz[at.y], dz[at.z], dz[at.w]);
    }
    if source == FROZEN {
        // The product is subtracted, so one operand is negated.
        return -vec4<f32>(frozen_dz[at.x], frozen_dz[at.y], frozen_dz[at.z], frozen_dz[at.w]);
    }
    let there = rows * params.columns + params.first + min(term, params.outputs - 1u);
    return select(vec4<f32>(), vec4<f32>(dy[there.x], dy[there.y], dy[there.z], dy[there.w]), term < params.outputs);
}

fn right_at(source: u32, run: u32, columns: vec4<u32>, term: u32) -> vec4<f32> {
    let at = min(term, terms(source) - 1u) * params.inputs + columns;
    let a = run * params.run_stride + params.a_offset + at;
    if source == ADAPTER {
        return vec4<f32>(trained[a.x], trained[a.y], trained[a.z], trained[a.w]);
    }
    if source == FROZEN {
        return vec4<f32>(frozen_pairs[a.x], frozen_pairs[a.y], frozen_pairs[a.z], frozen_pairs[a.w]);
    }
    return select(vec4<f32>(), vec4<f32>(weight(at.x), weight(at.y), weight(at.z), weight(at.w)), term < params.outputs);
}

fn result(tile: Tile) -> Sums {
    var sum = product(BASE, tile, Sums());
    if DROPS == 0u {
        sum = product(ADAPTER, tile, sum);
    }
    if PAIRS == 1u {
        sum = product(FROZEN, tile, sum);
    }
    return sum;
}
