// Replaces the products of a chunk of the vocabulary by the gradients of the loss: weight · (softmax − onehot(target)), with lse as the
// forward pass left it, times the slope of the cap; exact zeros in rows of weight 0.

struct Params {
    // N · count.
    elements: u32,
    // The first token of the chunk, and how many it has.
    first: u32,
    count: u32,
    // The cap of the logits; 0 for none.
    cap: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> targets: array<u32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read> lse: array<f32>;
@group(0) @binding(4) var<storage, read_write> logits: array<f32>;

fn element(i: u32) {
    if i < params.elements {
        let row = i / params.count;
        let weight = weights[row];
        let logit = capped(logits[i]);
        let expected = select(0.0, 1.0, params.first + i % params.count == targets[row]);
        let share = select(logit / params.cap, 0.0, params.cap == 0.0);
        let gradient = weight * (exp(logit - lse[row]) - expected) * (1.0 - share * share);
        logits[i] = select(0.0, gradient, weight != 0.0);
    }
}
