// y (N, H·D) (+)= x (N, H·D), each pair (xᵢ, xᵢ₊ₕ) of a head turned by the angle of its row's position; h = D/2.
// Su et al. 2021, arXiv 2104.09864, halves paired as in Hugging Face's Llama. A rotation is orthogonal, so the gradient is
// turned the other way.

struct Params {
    // One for each pair of features: N · H · D/2.
    pairs: u32,
    tokens: u32,
    heads: u32,
    // D/2.
    half: u32,
    // 1 turns back, for the gradient; 0 turns forwards.
    back: u32,
    // 1 adds to what y holds, 0 overwrites it.
    add: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
// (T, D/2) each.
@group(0) @binding(2) var<storage, read> cosines: array<f32>;
@group(0) @binding(3) var<storage, read> sines: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

fn element(pair: u32) {
    if pair >= params.pairs {
        return;
    }
    let feature = pair % params.half;
    let head = pair / params.half;
    let position = head / params.heads % params.tokens;
    let low = head * 2u * params.half + feature;
    let high = low + params.half;
    let cosine = cosines[position * params.half + feature];
    let angle_sine = sines[position * params.half + feature];
    let sine = select(angle_sine, -angle_sine, params.back == 1u);
    let turned_low = x[low] * cosine - x[high] * sine;
    let turned_high = x[high] * cosine + x[low] * sine;
    if params.add == 1u {
        y[low] += turned_low;
        y[high] += turned_high;
    } else {
        y[low] = turned_low;
        y[high] = turned_high;
    }
}
