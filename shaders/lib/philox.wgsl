// Random words that are a function of a counter and a key.

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
