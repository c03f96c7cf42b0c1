// y (N, width): row n is row tokens[n] of the table w (V, width), times a scale.

struct Params {
    // N · width.
    elements: u32,
    rows_per_run: u32,
    width: u32,
    weight_offset: u32,
    // Elements from one run's table to the next; 0 where all share one.
    weight_stride: u32,
    scale: f32,
    // The first of the tokens whose rows are bound, and how many they are: a table may be bound in parts.
    first: u32,
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tokens: array<u32>;
@group(0) @binding(2) var<storage, read> w: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

fn element(i: u32) {
    if i < params.elements {
        let row = i / params.width;
        let table = params.weight_offset + row / params.rows_per_run * params.weight_stride;
        // A token below the first wraps around to one far beyond the last.
        let token = tokens[row] - params.first;
        if token < params.count {
            y[i] = weight(table + token * params.width + i % params.width) * params.scale;
        }
    }
}
