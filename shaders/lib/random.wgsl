// Fills a buffer with random numbers. The kernel defines `value(word)`: the number that is made of a word of the stream.

struct Params {
    elements: u32,
    // The index of the first number in the buffer.
    offset: u32,
    seed_low: u32,
    seed_high: u32,
    // The hash of the stream's name.
    name_low: u32,
    name_high: u32,
    // The unit: each number is a whole multiple of it.
    unit: f32,
}

@group(0) @binding(0) var<uniform> params: Params;

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
