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
@group(0) @binding(1) var<storage, read> gradients: array<f32>;
// Two a run: whether it has diverged, and the bits of its clipping factor.
@group(0) @binding(2) var<storage, read> states: array<u32>;
// Four a run: scale, B's share of the learning rate, weight decay, largest norm of the gradient.
@group(0) @binding(3) var<storage, read> settings: array<f32>;
// Three a run and slot: learning rate, 1 − β₁ᵗ, 1 − β₂ᵗ.
@group(0) @binding(4) var<storage, read> rates: array<f32>;
// The step's place in the ring of rates.
@group(0) @binding(5) var<storage, read> slot: array<u32>;
@group(0) @binding(6) var<storage, read> places: array<u32>;
// Of each run its first moments, then its second.
@group(0) @binding(7) var<storage, read_write> moments: array<f32>;
@group(0) @binding(8) var<storage, read_write> trained: array<f32>;

// What an element is to the optimiser: 0 one of a matrix, 1 of a B, 2 of a gain, 3 of an A. Parameter p holds the elements from places[2p],
// and is of kind places[2p + 1].
fn kind(element: u32) -> u32 {
    var low = 0u;
    for (var span = params.parameters; span > 1u; span -= span / 2u) {
        let middle = low + span / 2u;
        low = select(low, middle, places[middle * 2u] <= element);
    }
    return places[low * 2u + 1u];
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = (group.y * groups.x + group.x) * 256u + local;
    if i >= params.elements * params.runs {
        return;
    }
    let run = i / params.elements;
    if states[run * 2u] != 0u {
        return;
    }
    let element = i % params.elements;
    let of_kind = kind(element);
    let at = (slot[0] * params.runs + run) * 3u;
    let rate = rates[at] * select(1.0, settings[run * 4u + 1u], of_kind == 1u);
    let decay = select(settings[run * 4u + 2u], 0.0, of_kind == 2u);
    let first = run * 2u * params.elements + element;
    let second = first + params.elements;

    let g = gradients[i];
    let m = moments[first] + params.one_minus_beta1 * (g - moments[first]);
    let v = params.beta2 * moments[second] + params.one_minus_beta2 * (g * g);
    moments[first] = m;
    moments[second] = v;
    let denominator = sqrt(v) / sqrt(rates[at + 2u]) + params.epsilon;
    trained[i] -= rate * decay * trained[i] + rate / rates[at + 1u] * (m / denominator);
}
