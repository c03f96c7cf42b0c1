// y (N, O) = x (N, I) Wᵀ + s (z Bᵀ − z₀ B₀ᵀ), run by run; z = x Aᵀ and z₀ = x A₀ᵀ come from `down`. Hu et al. 2021, arXiv 2106.09685, §4.1.
//
// The two products of the adapters are summed apart, term for term in the same order, and subtracted before they meet x Wᵀ: so while the
// pairs are equal y is the base's, bit for bit.

// 1 where the runs have a frozen second pair.
override PAIRS: u32 = 0u;

struct Params {
    // Of one run.
    rows: u32,
    inputs: u32,
    outputs: u32,
    rank: u32,
    // The offset of B in a run's trained elements, and the number of these.
    b_offset: u32,
    run_stride: u32,
    // Columns of y, and the one that the first of these outputs is: a matrix may be bound in parts.
    columns: u32,
    first: u32,
    // The adapter's scale as a multiple of the run's.
    factor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<u32>;
@group(0) @binding(3) var<storage, read> z: array<f32>;
@group(0) @binding(4) var<storage, read> trained: array<f32>;
// Four a run: scale, B's share of the learning rate, weight decay, largest norm of the gradient.
@group(0) @binding(5) var<storage, read> settings: array<f32>;
@group(0) @binding(6) var<storage, read> frozen_z: array<f32>;
@group(0) @binding(7) var<storage, read> frozen_pairs: array<f32>;
@group(0) @binding(8) var<storage, read_write> y: array<f32>;

fn terms(source: u32) -> u32 {
    return select(params.rank, params.inputs, source == BASE);
}

fn left_at(source: u32, rows: vec4<u32>, term: u32) -> vec4<f32> {
    let at = rows * terms(source) + min(term, terms(source) - 1u);
    if source == ADAPTER {
        return vec4<f32>(z[at.x], z[at.y], z[at.z], z[at.w]);
    }
    if source == FROZEN {
        return vec4<f32>(frozen_z[at.x], frozen_z[at.y], frozen_z[at.z], frozen_z[at.w]);
    }
    return select(vec4<f32>(), vec4<f32>(x[at.x], x[at.y], x[at.z], x[at.w]), term < params.inputs);
}

fn right_at(source: u32, run: u32, columns: vec4<u32>, term: u32) -> vec4<f32> {
    let at = columns * terms(source) + min(term, terms(source) - 1u);
    let b = run * params.run_stride + params.b_offset + at;
    if source == ADAPTER {
        return vec4<f32>(trained[b.x], trained[b.y], trained[b.z], trained[b.w]);
    }
    if source == FROZEN {
        return vec4<f32>(frozen_pairs[b.x], frozen_pairs[b.y], frozen_pairs[b.z], frozen_pairs[b.w]);
    }
    return select(vec4<f32>(), vec4<f32>(weight(at.x), weight(at.y), weight(at.z), weight(at.w)), term < params.inputs);
}

fn result(tile: Tile) -> Sums {
    let base = product(BASE, tile, Sums());
    var low = product(ADAPTER, tile, Sums());
    if PAIRS == 1u {
        low = plus(low, -1.0, product(FROZEN, tile, Sums()));
    }
    return plus(base, settings[tile.run * 4u] * params.factor, low);
}
