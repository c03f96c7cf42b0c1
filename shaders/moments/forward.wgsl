// moments (C + 1, I) += Σ w · [c, 1]ᵀ x over the rows of a run: the second moment of the code c (N, C) with x (N, I), then x alone. A row of
// weight 0 adds exactly 0, whatever it holds.

struct Params {
    // Of one run.
    rows: u32,
    codes: u32,
    inputs: u32,
    // Index of the first moment, and elements between those of consecutive runs.
    offset: u32,
    stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> code: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> moments: array<f32>;

const LEFT_BY_TERM: bool = false;
const RIGHT_BY_TERM: bool = false;

fn terms(source: u32) -> u32 {
    return params.rows;
}

// Four neighbouring moments' codes; those of run k begin at k (C + 1).
fn rows_from(run: u32, c: u32) -> vec4<u32> {
    let count = params.codes + 1u;
    return run * count + four_from(c, count);
}

fn columns_from(i: u32) -> vec4<u32> {
    return four_from(i, params.inputs);
}

// w · c of four codes; code C is the constant 1.
fn left_at(source: u32, codes: vec4<u32>, n: u32) -> vec4<f32> {
    let count = params.codes + 1u;
    let run = codes.x / count;
    let row = run * params.rows + min(n, params.rows - 1u);
    let own = codes - run * count;
    let at = row * params.codes + min(own, vec4<u32>(params.codes - 1u));
    let values = vec4<f32>(code[at.x], code[at.y], code[at.z], code[at.w]);
    let weighted = weights[row] * select(values, vec4<f32>(1.0), own == vec4<u32>(params.codes));
    return select(vec4<f32>(), weighted, n < params.rows && weights[row] != 0.0);
}

fn right_at(source: u32, run: u32, inputs: vec4<u32>, n: u32) -> vec4<f32> {
    let row = run * params.rows + min(n, params.rows - 1u);
    let at = row * params.inputs + inputs;
    let values = vec4<f32>(x[at.x], x[at.y], x[at.z], x[at.w]);
    return select(vec4<f32>(), values, n < params.rows && weights[row] != 0.0);
}

fn result(tile: Tile) -> Sums {
    return product(BASE, tile, Sums());
}

fn put_one(run: u32, c: u32, i: u32, value: f32) {
    if c <= params.codes && i < params.inputs {
        moments[run * params.stride + params.offset + c * params.inputs + i] += value;
    }
}
