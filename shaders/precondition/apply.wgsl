// dA ← (BᵀB + ε I)⁻¹ dA and dB ← dB (AAᵀ + ε I)⁻¹, from one buffer to another; the gradient of what belongs to no adapter is taken over as it is.

struct Params {
    // Trained elements of a run.
    elements: u32,
    runs: u32,
    parameters: u32,
    // The highest; each parameter has room for it.
    rank: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradients: array<f32>;
// A B follows its A.
@group(0) @binding(2) var<storage, read> places: array<u32>;
// R · R a run and parameter: the inverse of the parameter's product with itself.
@group(0) @binding(3) var<storage, read> inverses: array<f32>;
@group(0) @binding(4) var<storage, read_write> preconditioned: array<f32>;

fn element(i: u32) {
    if i >= params.elements * params.runs {
        return;
    }
    let run = i / params.elements;
    let offset = i % params.elements;
    let parameter = parameter_of(offset);
    let place = places[parameter * 3u];
    let start = run * params.elements + place;
    let kind = places[parameter * 3u + 1u];
    let rank = places[parameter * 3u + 2u];
    let room = params.rank * params.rank;
    var sum = gradients[i];
    if kind == 3u {
        let inputs = (places[parameter * 3u + 3u] - place) / rank;
        let row = (offset - place) / inputs;
        let column = (offset - place) % inputs;
        let inverse = (run * params.parameters + parameter + 1u) * room + row * rank;
        sum = 0.0;
        for (var k = 0u; k < rank; k++) {
            sum += inverses[inverse + k] * gradients[start + k * inputs + column];
        }
    }
    if kind == 1u {
        let row = (offset - place) / rank;
        let column = (offset - place) % rank;
        let inverse = (run * params.parameters + parameter - 1u) * room + column;
        sum = 0.0;
        for (var k = 0u; k < rank; k++) {
            sum += gradients[start + row * rank + k] * inverses[inverse + k * rank];
        }
    }
    preconditioned[i] = sum;
}
