// tanh x. WGSL's own may be off by 1e-5; this is within a few units in the last place: the polynomial of Moshier's Cephes library (`tanhf.c`)
// below 5/8, and 1 − 2/(e²ˣ + 1) above. The host's is `crates/cpu/src/hyperbolic.rs`.
fn hyperbolic_tangent(x: f32) -> f32 {
    // Above 10 it is 1.
    let size = min(abs(x), 10.0);
    let square = size * size;
    let p = (((-0.0057049887 * square + 0.020639088) * square - 0.053739715) * square + 0.13331442) * square - 0.3333328;
    let near = p * square * size + size;
    let far = 1.0 - 2.0 / (exp(size + size) + 1.0);
    let value = select(far, near, size < 0.625);
    return select(value, -value, x < 0.0);
}
