// Of each block of 4096 gradients of a run: Σ g², and the place of the first that is not finite. One workgroup a block.
//
// True if a number is finite is read from its bits: a shader compiler may take x != x for false.

struct Params {
    // Gradients of a run.
    elements: u32,
    // Blocks of a run.
    blocks: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradients: array<f32>;
// Two a block: the sum's bits, and the place, which is 0xffffffff where all are finite.
@group(0) @binding(2) var<storage, read_write> partials: array<u32>;

var<workgroup> sums: array<f32, 256>;
var<workgroup> places: array<u32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let run = group.y;
    let block = group.x;
    let end = min((block + 1u) * 4096u, params.elements);
    var sum = 0.0;
    var first = 0xffffffffu;
    for (var i = block * 4096u + local; i < end; i += 256u) {
        let gradient = gradients[run * params.elements + i];
        sum += gradient * gradient;
        if (bitcast<u32>(gradient) & 0x7f800000u) == 0x7f800000u {
            first = min(first, i);
        }
    }
    sums[local] = sum;
    places[local] = first;
    workgroupBarrier();
    for (var span = 128u; span > 0u; span >>= 1u) {
        if local < span {
            sums[local] += sums[local + span];
            places[local] = min(places[local], places[local + span]);
        }
        workgroupBarrier();
    }
    if local == 0u {
        let at = (run * params.blocks + block) * 2u;
        partials[at] = bitcast<u32>(sums[0]);
        partials[at + 1u] = places[0];
    }
}
