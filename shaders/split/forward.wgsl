// y = a part of x's columns.

struct Params {
    elements: u32,
    // Columns of x and of y.
    wide: u32,
    columns: u32,
    // The part's first column in x.
    first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

fn element(i: u32) {
    if i < params.elements {
        y[i] = x[i / params.columns * params.wide + params.first + i % params.columns];
    }
}
