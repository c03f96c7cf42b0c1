// y (N, O) = x (N, I) · W (O, I)ᵀ, run by run.

struct Params {
    // Of one run.
    rows: u32,
    inputs: u32,
    outputs: u32,
    weight_offset: u32,
    // Elements from one run's weights to the next; 0 where all share them.
    weight_stride: u32,
    // Columns of y, and the one that the first of these outputs is: a matrix may be bound in parts.
    columns: u32,
    first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

fn terms(source: u32) -> u32 {
    return params.inputs;
}

fn left_at(source: u32, rows: vec4<u32>, i: u32) -> vec4<f32> {
    let at = rows * params.inputs + min(i, params.inputs - 1u);
    return select(vec4<f32>(), vec4<f32>(x[at.x], x[at.y], x[at.z], x[at.w]), i < params.inputs);
}

fn right_at(source: u32, run: u32, columns: vec4<u32>, i: u32) -> vec4<f32> {
    let at = params.weight_offset + run * params.weight_stride + columns * params.inputs + min(i, params.inputs - 1u);
    return select(vec4<f32>(), vec4<f32>(weight(at.x), weight(at.y), weight(at.z), weight(at.w)), i < params.inputs);
}

fn result(tile: Tile) -> Sums {
    return product(BASE, tile, Sums());
}
