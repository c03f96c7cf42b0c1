// y = cap · tanh(x / cap), element by element. With a cap of 1 it is tanh itself; other caps are those of Gemma 2's logits and scores:
// Riviere et al. 2024, arXiv 2408.00118, §2.

struct Params {
    elements: u32,
    cap: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

fn element(i: u32) {
    if i < params.elements {
        y[i] = params.cap * hyperbolic_tangent(x[i] / params.cap);
    }
}
