// Fills a buffer with random numbers. The kernel defines `value(word)`: the number that is made of a word of the stream.

struct Params {
    elements: u32,
    // Where the first goes.
    offset: u32,
    seed_low: u32,
    seed_high: u32,
    // The hash of the stream's name.
    name_low: u32,
    name_high: u32,
    // What a number is a multiple of.
    unit: f32,
}

@group(0) @binding(0) var<uniform> params: Params;

fn multiply_high(a: u32, b: u32) -> u32 {
    let low = (a & 0xffffu) * (b & 0xffffu);
    let middle = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
    let carry = (a & 0xffffu) * (b >> 16u) + (middle & 0xffffu);
    return (a >> 16u) * (b >> 16u) + (middle >> 16u) + (carry >> 16u);
}

// Philox 4×32-10: Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3".
fn philox(counter: vec4<u32>, seed: vec2<u32>) -> vec4<u32> {
    var key = seed;
    var block = counter;
    for (var round = 0u; round < 10u; round++) {
        let high_0 = multiply_high(0xd2511f53u, block.x);
        let high_1 = multiply_high(0xcd9e8d57u, block.z);
        block = vec4<u32>(
            high_1 ^ block.y ^ key.x,
            0xcd9e8d57u * block.z,
            high_0 ^ block.w ^ key.y,
            0xd2511f53u * block.x,
        );
        key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
    }
    return block;
}

fn put(i: u32, word: u32) {
    if i < params.elements {
        out[params.offset + i] = value(word);
    }
}

// Four elements, from one block of the stream.
fn element(index: u32) {
    if index >= (params.elements + 3u) / 4u {
        return;
    }
    let counter = vec4<u32>(index, 0u, params.name_low, params.name_high);
    let words = philox(counter, vec2<u32>(params.seed_low, params.seed_high));
    put(index * 4u, words.x);
    put(index * 4u + 1u, words.y);
    put(index * 4u + 2u, words.z);
    put(index * 4u + 3u, words.w);
}
