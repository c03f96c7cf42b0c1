// The report of a step on each run: its loss, the norm of its gradient, and whether it diverged. One workgroup a run.
//
// A run diverges when its loss or its gradient's norm is not finite; from then on its updates are skipped, and nothing is reported of it.
// The factor that clips the gradient, largest norm / (norm + 10⁻⁶) as in PyTorch's clip_grad_norm_, is left for `clip`.

struct Params {
    // Blocks of a run in the partials.
    blocks: u32,
    runs: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<u32>;
// 64 sums of losses a run, gathered by `step/gather` since the last update; zero again afterwards.
@group(0) @binding(2) var<storage, read_write> gathered: array<f32>;
// Four a run: scale, B's share of the learning rate, weight decay, largest norm of the gradient.
@group(0) @binding(3) var<storage, read> settings: array<f32>;
// The step's place in the ring of reports.
@group(0) @binding(4) var<storage, read> slot: array<u32>;
// Two a run: whether it has diverged, and the bits of its clipping factor.
@group(0) @binding(5) var<storage, read_write> states: array<u32>;
// Four a run and slot: bits of the loss, bits of the norm, place of the first gradient that is not finite, and 0 if the run took no part, 1 if it
// goes on, 2 if it diverged at this step.
@group(0) @binding(6) var<storage, read_write> reports: array<u32>;

var<workgroup> losses: array<f32, 64>;
var<workgroup> squares: array<f32, 64>;
var<workgroup> places: array<u32, 64>;

fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let run = group.x;
    var square = 0.0;
    var first = 0xffffffffu;
    for (var block = local; block < params.blocks; block += 64u) {
        let at = (run * params.blocks + block) * 2u;
        square += bitcast<f32>(partials[at]);
        first = min(first, partials[at + 1u]);
    }
    losses[local] = gathered[run * 64u + local];
    gathered[run * 64u + local] = 0.0;
    squares[local] = square;
    places[local] = first;
    workgroupBarrier();
    for (var span = 32u; span > 0u; span >>= 1u) {
        if local < span {
            losses[local] += losses[local + span];
            squares[local] += squares[local + span];
            places[local] = min(places[local], places[local + span]);
        }
        workgroupBarrier();
    }
    if local == 0u {
        let norm = sqrt(squares[0]);
        let is_well = is_finite(losses[0]) && is_finite(squares[0]);
        let was_well = states[run * 2u] == 0u;
        let at = (slot[0] * params.runs + run) * 4u;
        reports[at] = bitcast<u32>(losses[0]);
        reports[at + 1u] = bitcast<u32>(norm);
        reports[at + 2u] = places[0];
        reports[at + 3u] = select(0u, select(2u, 1u, is_well), was_well);
        let most = settings[run * 4u + 3u];
        let factor = most / (norm + 1e-6);
        states[run * 2u] = select(1u, 0u, is_well && was_well);
        states[run * 2u + 1u] = bitcast<u32>(select(1.0, factor, most > 0.0 && factor < 1.0));
    }
}
