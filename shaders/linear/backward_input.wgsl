// dx (N, I) (+)= dy (N, O) · W (O, I), run by run.

struct Params {
    // Of one run.
    rows: u32,
    inputs: u32,
    outputs: u32,
    weight_offset: u32,
    // Elements from one run's weights to the next; 0 where all share them.
    weight_stride: u32,
    // 1 adds to what dx holds, 0 overwrites it.
    add: u32,
    // Columns of dy, and the one that the first of these outputs is: a matrix may be bound in parts.
    columns: u32,
    first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<u32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

fn terms(source: u32) -> u32 {
    return params.outputs;
}

fn left_at(source: u32, rows: vec4<u32>, o: u32) -> vec4<f32> {
    let at = rows * params.columns + params.first + min(o, params.outputs - 1u);
    return select(vec4<f32>(), vec4<f32>(dy[at.x], dy[at.y], dy[at.z], dy[at.w]), o < params.outputs);
}

fn right_at(source: u32, run: u32, columns: vec4<u32>, o: u32) -> vec4<f32> {
    let at = params.weight_offset + run * params.weight_stride + min(o, params.outputs - 1u) * params.inputs + columns;
    return select(vec4<f32>(), vec4<f32>(weight(at.x), weight(at.y), weight(at.z), weight(at.w)), o < params.outputs);
}

fn result(tile: Tile) -> Sums {
    return product(BASE, tile, Sums());
}
