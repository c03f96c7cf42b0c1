// Moves on to the next step's place in the rings. One invocation.

struct Params {
    slots: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> slot: array<u32>;

@compute @workgroup_size(1)
fn main() {
    slot[0] = (slot[0] + 1u) % params.slots;
}
