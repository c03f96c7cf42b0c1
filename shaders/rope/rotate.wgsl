// y (N, H·D) (+)= x (N, H·D), each pair (xᵢ, xᵢ₊ₕ) of the first 2h features of a head turned by the angle of its row's position; the others stay.
// Su et al. 2021, arXiv 2104.09864, halves paired as in Hugging Face's Llama. A rotation is orthogonal, so the gradient is
// turned the other way.

// 1 where every row's position is given.
override GIVEN: u32 = 0u;

struct Params {
    // Of all rows and heads: the pairs, and the features that stay.
    elements: u32,
    tokens: u32,
    heads: u32,
    // D.
    head_size: u32,
    // h.
    half: u32,
    // 1 turns back, for the gradient; 0 turns forwards.
    back: u32,
    // 1 adds to what y holds, 0 overwrites it.
    add: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
// (T, h) each.
@group(0) @binding(2) var<storage, read> cosines: array<f32>;
@group(0) @binding(3) var<storage, read> sines: array<f32>;
@group(0) @binding(4) var<storage, read> positions: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

fn put(at: u32, value: f32) {
    if params.add == 1u {
        y[at] += value;
    } else {
        y[at] = value;
    }
}

fn element(i: u32) {
    if i >= params.elements {
        return;
    }
    let of_head = params.head_size - params.half;
    let feature = i % of_head;
    let head = i / of_head;
    let row = head / params.heads;
    let low = head * params.head_size + feature;
    let high = low + params.half;
    if feature >= params.half {
        put(high, x[high]);
        return;
    }
    var position = row % params.tokens;
    if GIVEN == 1u {
        position = positions[row];
    }
    let cosine = cosines[position * params.half + feature];
    let angle_sine = sines[position * params.half + feature];
    let sine = select(angle_sine, -angle_sine, params.back == 1u);
    put(low, x[low] * cosine - x[high] * sine);
    put(high, x[high] * cosine + x[low] * sine);
}
