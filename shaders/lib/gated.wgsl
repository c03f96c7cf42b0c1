// y = a(gate) · up, element by element: the activation of a gated feed-forward layer. The kernel defines `activation(x)`: a(x) and its derivative.

struct Params {
    elements: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gate: array<f32>;
@group(0) @binding(2) var<storage, read> up: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

fn element(i: u32) {
    if i < params.elements {
        y[i] = activation(gate[i]).x * up[i];
    }
}
