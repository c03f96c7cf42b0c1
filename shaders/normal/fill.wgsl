// Normal random numbers with the bits of the host's (`loralab_linalg::Stream::normal`): the normal quantile of each word of the stream in
// fixed point, a piecewise cubic in integers, times std·2⁻²¹, the unit: the one rounding.

// Four a piece, sixteen pieces an octave of the tail's probability.
@group(0) @binding(1) var<storage, read> coefficients: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

// z(P) for P = tail · 2⁻³³, in units of 2⁻²¹; tail is not 0.
fn quantile(tail: u32) -> i32 {
    let octave = countLeadingZeros(tail);
    let normalised = tail << octave;
    let at = (octave * 16u + ((normalised >> 27u) & 15u)) * 4u;
    // Distance from the piece's upper end, as a fraction of 2³².
    let back = ~(normalised << 5u);
    var z = coefficients[at + 2u] + multiply_high(back, coefficients[at + 3u]);
    z = coefficients[at + 1u] + multiply_high(back, z);
    z = coefficients[at] + multiply_high(back, z);
    return i32((z + 128u) >> 8u);
}

fn value(word: u32) -> f32 {
    let magnitude = quantile((word << 1u) | 1u);
    return f32(select(magnitude, -magnitude, (word >> 31u) == 1u)) * params.unit;
}
