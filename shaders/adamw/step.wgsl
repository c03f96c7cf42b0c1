// m ← m + (1 − β₁)(g − m); v ← β₂v + (1 − β₂)g²; p ← p − (γλp + γ/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)), for every run that has not
// diverged. As PyTorch computes it; Kingma and Ba 2014, arXiv 1412.6980, algorithm 1; Loshchilov and Hutter 2017, arXiv 1711.05101.
//
// 1 − β and 1 − βᵗ come from the host, which has more digits; for want of them 1 − γλ is not formed.

struct Params {
    // Trained elements of a run.
    elements: u32,
    runs: u32,
    parameters: u32,
    one_minus_beta1: f32,
    beta2: f32,
    one_minus_beta2: f32,
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// Of each run its first moments, then its second.
@group(0) @binding(7) var<storage, read_write> moments: array<f32>;
@group(0) @binding(8) var<storage, read_write> trained: array<f32>;

fn update(i: u32, run: u32, at: u32, rate: f32, decay: f32) {
    let first = run * 2u * params.elements + i % params.elements;
    let second = first + params.elements;

    let g = gradients[i];
    let m = moments[first] + params.one_minus_beta1 * (g - moments[first]);
    let v = params.beta2 * moments[second] + params.one_minus_beta2 * (g * g);
    moments[first] = m;
    moments[second] = v;
    let denominator = sqrt(v) / sqrt(rates[at + 2u]) + params.epsilon;
    trained[i] -= rate * decay * trained[i] + rate / rates[at + 1u] * (m / denominator);
}
