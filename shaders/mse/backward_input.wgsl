// dprediction (N, O) = 2 · weight · (prediction − expected); exactly 0 in rows of weight 0.

struct Params {
    // N · O.
    elements: u32,
    outputs: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> prediction: array<f32>;
@group(0) @binding(2) var<storage, read> expected: array<f32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> dprediction: array<f32>;

fn element(i: u32) {
    if i < params.elements {
        let weight = weights[i / params.outputs];
        dprediction[i] = select(0.0, (weight + weight) * (prediction[i] - expected[i]), weight != 0.0);
    }
}
