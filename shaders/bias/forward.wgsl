// y (N, O) = x (N, O) + w (O): the bias of a linear layer, added to every row.

struct Params {
    // N · O.
    elements: u32,
    rows_per_run: u32,
    width: u32,
    weight_offset: u32,
    // Elements from one run's weights to the next; 0 where all share them.
    weight_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

fn element(i: u32) {
    if i < params.elements {
        let run = i / params.width / params.rows_per_run;
        y[i] = x[i] + weight(params.weight_offset + run * params.weight_stride + i % params.width);
    }
}
