// The part that all optimisers share. The kernel defines `update(i, run, at, rate, decay)`, for element i of a run that has not diverged:
// `at` is the place of the run's rates, `rate` the element's learning rate, `decay` its weight decay.

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

fn element(i: u32) {
    if i >= params.elements * params.runs {
        return;
    }
    let run = i / params.elements;
    if states[run * 2u] != 0u {
        return;
    }
    let of_kind = places[parameter_of(i % params.elements) * 3u + 1u];
    let at = (slot[0] * params.runs + run) * 3u;
    let rate = rates[at] * select(1.0, settings[run * 4u + 1u], of_kind == 1u);
    let decay = select(settings[run * 4u + 2u], 0.0, of_kind == 2u);
    update(i, run, at, rate, decay);
}
