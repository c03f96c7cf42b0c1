// The cap of a logit: c · tanh(x / c), by one exponential of a negative number, which can't overflow. A cap of 0 is none.

fn capped(x: f32) -> f32 {
    if params.cap == 0.0 {
        return x;
    }
    let small = exp(-(abs(x) + abs(x)) / params.cap);
    let size = params.cap * (1.0 - small) / (1.0 + small);
    return select(size, -size, x < 0.0);
}
