// Uniform random numbers with the bits of the host's (`loralab_linalg::Stream::uniform`): an odd integer below 2²³ from each word of the
// stream, times bound·2⁻²³, the unit: the one rounding.

@group(0) @binding(1) var<storage, read_write> out: array<f32>;

fn value(word: u32) -> f32 {
    return f32(i32(((word >> 9u) << 1u) | 1u) - 8388608) * params.unit;
}
