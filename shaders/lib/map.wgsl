// y = value(x), element by element. The kernel defines `value(x)`.

struct Params {
    elements: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

fn element(i: u32) {
    if i < params.elements {
        y[i] = value(x[i]);
    }
}
