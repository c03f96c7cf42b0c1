//! GEGLU: the gated activation of Gemma's feed-forward layer. Shazeer 2020, arXiv 2002.05202.

use crate::gelu::{Form, erf, tanh};
use crate::simd::vectorize;
use crate::{Scalar, Store};

/// `y` = GELU(gate) · up, element by element.
///
/// # Panics
/// If the slices differ in length.
pub fn forward<S: Scalar>(form: Form, gate: &[S], up: &[S], y: &mut [S]) {
    assert_eq!(gate.len(), y.len());
    assert_eq!(up.len(), y.len());
    match form {
        Form::Erf => gated(gate, up, y, erf),
        Form::Tanh => gated(gate, up, y, tanh),
    }
}

/// `dgate` (+)= dy · up · GELU′(gate) and `dup` (+)= dy · GELU(gate), element by element.
///
/// `stores` are those of `dgate` and `dup`.
///
/// # Panics
/// If the slices differ in length.
pub fn backward<S: Scalar>(
    form: Form,
    gate: &[S],
    up: &[S],
    dy: &[S],
    dgate: &mut [S],
    dup: &mut [S],
    stores: [Store; 2],
) {
    for length in [gate.len(), up.len(), dgate.len(), dup.len()] {
        assert_eq!(length, dy.len());
    }
    match form {
        Form::Erf => gated_backward([gate, up, dy], [dgate, dup], stores, erf),
        Form::Tanh => gated_backward([gate, up, dy], [dgate, dup], stores, tanh),
    }
}

#[inline(always)]
fn gated<S: Scalar>(gate: &[S], up: &[S], y: &mut [S], activation: impl Fn(S) -> (S, S)) {
    vectorize(
        #[inline(always)]
        || {
            for (y, (&gate, &up)) in y.iter_mut().zip(gate.iter().zip(up)) {
                *y = activation(gate).0 * up;
            }
        },
    );
}

#[inline(always)]
fn gated_backward<S: Scalar>(
    [gate, up, dy]: [&[S]; 3],
    [dgate, dup]: [&mut [S]; 2],
    stores: [Store; 2],
    activation: impl Fn(S) -> (S, S),
) {
    vectorize(
        #[inline(always)]
        || {
            let inputs = gate.iter().zip(up).zip(dy);
            for ((dgate, dup), ((&gate, &up), &dy)) in dgate.iter_mut().zip(dup).zip(inputs) {
                let (value, slope) = activation(gate);
                stores[0].put(dgate, dy * up * slope);
                stores[1].put(dup, dy * value);
            }
        },
    );
}
