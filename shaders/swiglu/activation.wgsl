// SwiGLU: y = gate · σ(gate) · up with σ(x) = 1 / (1 + e⁻ˣ). Shazeer 2020, arXiv 2002.05202.

fn activation(x: f32) -> vec2<f32> {
    // If e⁻ˣ overflows, σ is 0, as it should be.
    let sigmoid = 1.0 / (1.0 + exp(-x));
    return vec2<f32>(x * sigmoid, sigmoid * (1.0 + x * (1.0 - sigmoid)));
}
