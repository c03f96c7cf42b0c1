// y = gate · σ(gate) · up, element by element; σ(x) = 1 / (1 + e⁻ˣ). Shazeer 2020, arXiv 2002.05202.

struct Params {
    elements: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gate: array<f32>;
@group(0) @binding(2) var<storage, read> up: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

fn element(i: u32) {
    if i < params.elements {
        // Where e⁻ˣ overflows, σ is 0, as it should be.
        let sigmoid = 1.0 / (1.0 + exp(-gate[i]));
        y[i] = gate[i] * sigmoid * up[i];
    }
}
