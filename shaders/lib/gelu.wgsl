// GELU and its derivative, in the two forms that models use.

// 0: x Φ(x) with the normal distribution function. 1: x (1 + tanh u) / 2 with u = √(2/π) (x + 0.044715 x³).
override FORM: u32 = 0u;

fn gelu(x: f32) -> vec2<f32> {
    if FORM == 1u {
        return gelu_by_tanh(x);
    }
    let share = normal(x);
    return vec2<f32>(x * share.x, share.x + x * share.y);
}

// (1 + tanh u) / 2 = σ(2u), whose small values keep their relative precision.
fn gelu_by_tanh(x: f32) -> vec2<f32> {
    let square = 0.071354814 * (x * x);
    // If the power overflows, σ is 0, as it should be.
    let sigmoid = 1.0 / (1.0 + exp(-(x * (1.5957692 + square))));
    let slope = 1.5957692 + (square + square + square);
    return vec2<f32>(x * sigmoid, sigmoid * (1.0 + x * ((1.0 - sigmoid) * slope)));
}

// Φ(x) and φ(x), the standard normal's distribution function and density, as in `crates/cpu/src/normal.rs`: with t = 1/(1 + 0.34 |x|),
// Φ(−|x|) = e^(−x²/2) · a polynomial of t, within 1.5e-7 of its value.
fn normal(x: f32) -> vec2<f32> {
    // Beyond 14 the tail is below every normal number. The comparison lets NaN pass.
    let size = select(abs(x), 14.0, abs(x) > 14.0);
    let bell = exp(-(size * size * 0.5));
    let t = 1.0 / (1.0 + size * 0.34);
    var p = -0.02612098;
    p = p * t + 0.1395017;
    p = p * t - 0.2731368;
    p = p * t + 0.20218676;
    p = p * t - 0.0447209;
    p = p * t + 0.11536006;
    p = p * t + 0.11519746;
    p = p * t + 0.13611221;
    p = p * t + 0.1356205;
    let tail = bell * (p * t);
    return vec2<f32>(select(tail, 1.0 - tail, x > 0.0), bell * 0.3989423);
}
