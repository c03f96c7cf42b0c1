//! SwiGLU: the gated activation of Llama's feed-forward layer. Shazeer 2020, arXiv 2002.05202.

use crate::simd::vectorize;
use crate::{Scalar, Store};

/// Elements whose exponentials are computed together, in a buffer on the stack.
const BLOCK: usize = 64;

/// `y` = gate · σ(gate) · up, element by element; σ(x) = 1 / (1 + e⁻ˣ).
///
/// # Panics
/// If the slices differ in length.
pub fn forward<S: Scalar>(gate: &[S], up: &[S], y: &mut [S]) {
    assert_eq!(gate.len(), y.len());
    assert_eq!(up.len(), y.len());
    vectorize(
        #[inline(always)]
        || {
            let blocks = gate.chunks(BLOCK).zip(up.chunks(BLOCK));
            for ((gate, up), y) in blocks.zip(y.chunks_mut(BLOCK)) {
                let mut sigmoid = [S::ZERO; BLOCK];
                sigmoids(gate, &mut sigmoid);
                for ((y, &sigmoid), (&gate, &up)) in y.iter_mut().zip(&sigmoid).zip(gate.iter().zip(up)) {
                    *y = gate * sigmoid * up;
                }
            }
        },
    );
}

/// `dgate` (+)= dy · up · σ(gate) · (1 + gate · (1 − σ(gate))) and `dup` (+)= dy · gate · σ(gate), element by element.
///
/// `stores` are those of `dgate` and `dup`.
///
/// # Panics
/// If the slices differ in length.
pub fn backward<S: Scalar>(gate: &[S], up: &[S], dy: &[S], dgate: &mut [S], dup: &mut [S], stores: [Store; 2]) {
    for length in [gate.len(), up.len(), dgate.len(), dup.len()] {
        assert_eq!(length, dy.len());
    }
    vectorize(
        #[inline(always)]
        || {
            let inputs = gate.chunks(BLOCK).zip(up.chunks(BLOCK)).zip(dy.chunks(BLOCK));
            let outputs = dgate.chunks_mut(BLOCK).zip(dup.chunks_mut(BLOCK));
            for (((gate, up), dy), (dgate, dup)) in inputs.zip(outputs) {
                let mut sigmoid = [S::ZERO; BLOCK];
                sigmoids(gate, &mut sigmoid);
                for ((dgate, &sigmoid), ((&gate, &up), &dy)) in
                    dgate.iter_mut().zip(&sigmoid).zip(gate.iter().zip(up).zip(dy))
                {
                    stores[0].put(dgate, dy * up * (sigmoid * (S::ONE + gate * (S::ONE - sigmoid))));
                }
                for ((dup, &sigmoid), (&gate, &dy)) in dup.iter_mut().zip(&sigmoid).zip(gate.iter().zip(dy)) {
                    stores[1].put(dup, dy * (gate * sigmoid));
                }
            }
        },
    );
}

/// Writes σ(x) to the first elements of `out`. If e⁻ˣ overflows, σ is 0, which is the correct limit.
#[inline(always)]
fn sigmoids<S: Scalar>(x: &[S], out: &mut [S; BLOCK]) {
    let out = &mut out[..x.len()];
    for (out, &x) in out.iter_mut().zip(x) {
        *out = -x;
    }
    S::exp_in_place(out);
    for out in out {
        *out = S::ONE / (S::ONE + *out);
    }
}
