// A checksum of the words of a buffer, to see that what was uploaded arrived: Σ word · (2 · place + 1) modulo 2³². Integers add up to
// the same in any order.

struct Params {
    words: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> words: array<u32>;
@group(0) @binding(2) var<storage, read_write> sum: array<atomic<u32>>;

fn element(place: u32) {
    if place < params.words {
        atomicAdd(&sum[0], words[place] * (2u * place + 1u));
    }
}
