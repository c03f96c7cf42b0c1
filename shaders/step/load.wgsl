// Copies the rows of the step that is due from the ring that the host has filled: whatever a model reads, word by word.

struct Params {
    words: u32,
    // The offset of the words in a slot, and the number of words of a slot.
    offset: u32,
    stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ring: array<u32>;
// The step's place in the ring.
@group(0) @binding(2) var<storage, read> slot: array<u32>;
@group(0) @binding(3) var<storage, read_write> rows: array<u32>;

fn element(i: u32) {
    if i < params.words {
        rows[i] = ring[slot[0] * params.stride + params.offset + i];
    }
}
