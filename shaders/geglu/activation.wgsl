// GEGLU: y = GELU(gate) · up. Shazeer 2020, arXiv 2002.05202.

fn activation(x: f32) -> vec2<f32> {
    return gelu(x);
}
