// dA ← (BᵀB + ε I)⁻¹ dA and dB ← dB (AAᵀ + ε I)⁻¹, from one buffer to another; the gradient of what belongs to no adapter is taken over as it is.

struct Params {
    // Trained elements of a run.
    elements: u32,
    runs: u32,
    parameters: u32,
    rank: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradients: array<f32>;
// Parameter p holds the elements from places[2p], and is of kind places[2p + 1]: 0 a matrix, 1 a B, 2 a gain, 3 an A. A B follows its A.
@group(0) @binding(2) var<storage, read> places: array<u32>;
// R · R a run and parameter: the inverse of the parameter's product with itself.
@group(0) @binding(3) var<storage, read> inverses: array<f32>;
@group(0) @binding(4) var<storage, read_write> preconditioned: array<f32>;

fn parameter_of(element: u32) -> u32 {
    var low = 0u;
    for (var span = params.parameters; span > 1u; span -= span / 2u) {
        let middle = low + span / 2u;
        low = select(low, middle, places[middle * 2u] <= element);
    }
    return low;
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
    let element = i % params.elements;
    let parameter = parameter_of(element);
    let place = places[parameter * 2u];
    let start = run * params.elements + place;
    let kind = places[parameter * 2u + 1u];
    let rank = params.rank;
    var sum = gradients[i];
    if kind == 3u {
        let inputs = (places[parameter * 2u + 2u] - place) / rank;
        let row = (element - place) / inputs;
        let column = (element - place) % inputs;
        let inverse = (run * params.parameters + parameter + 1u) * rank * rank + row * rank;
        sum = 0.0;
        for (var k = 0u; k < rank; k++) {
            sum += inverses[inverse + k] * gradients[start + k * inputs + column];
        }
    }
    if kind == 1u {
        let row = (element - place) / rank;
        let column = (element - place) % rank;
        let inverse = (run * params.parameters + parameter - 1u) * rank * rank + column;
        sum = 0.0;
        for (var k = 0u; k < rank; k++) {
            sum += gradients[start + row * rank + k] * inverses[inverse + k * rank];
        }
    }
    preconditioned[i] = sum;
}
