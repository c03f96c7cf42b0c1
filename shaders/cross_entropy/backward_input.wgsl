// dlogits (N, V) = weight · (softmax(logits) − onehot(target)), with lse as the forward pass left it; exact zeros in rows of weight 0.

struct Params {
    // N · V.
    elements: u32,
    vocabulary: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read_write> dlogits: array<f32>;

fn element(i: u32) {
    if i < params.elements {
        let row = i / params.vocabulary;
        let weight = weights[row];
        let expected = select(0.0, 1.0, i % params.vocabulary == targets[row]);
        let gradient = weight * (exp(logits[i] - lse[row]) - expected);
        dlogits[i] = select(0.0, gradient, weight != 0.0);
    }
}
