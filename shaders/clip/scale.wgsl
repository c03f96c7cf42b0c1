// g ← factor · g for each run whose gradient is longer than it may be. Pascanu, Mikolov and Bengio 2012, arXiv 1211.5063, algorithm 1.

struct Params {
    // Gradients of a run.
    elements: u32,
    runs: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// Two a run: whether it has diverged, and the bits of its clipping factor.
@group(0) @binding(1) var<storage, read> states: array<u32>;
@group(0) @binding(2) var<storage, read_write> gradients: array<f32>;

fn element(i: u32) {
    if i < params.elements * params.runs {
        let factor = bitcast<f32>(states[i / params.elements * 2u + 1u]);
        if factor != 1.0 {
            gradients[i] *= factor;
        }
    }
}
