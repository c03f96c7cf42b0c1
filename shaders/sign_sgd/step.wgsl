// p ← p − (γλp + γ · sign(g)), sign(0) = 0, for every run that has not diverged. Bernstein et al. 2018, arXiv 1802.04434, algorithm 1.

struct Params {
    // Trained elements of a run.
    elements: u32,
    runs: u32,
    parameters: u32,
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
@group(0) @binding(7) var<storage, read_write> trained: array<f32>;

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
    let of_kind = kind(i % params.elements);
    let rate = rates[(slot[0] * params.runs + run) * 3u] * select(1.0, settings[run * 4u + 1u], of_kind == 1u);
    let decay = select(settings[run * 4u + 2u], 0.0, of_kind == 2u);
    let g = gradients[i];
    let step = select(0.0, rate, g > 0.0) - select(0.0, rate, g < 0.0);
    trained[i] -= rate * decay * trained[i] + step;
}
