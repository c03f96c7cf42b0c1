//! LoftQ: the base is kept in few bits, and the adapter begins as the best approximation of what that loses.
//!
//! With Q what is left of W and U diag(S) Vᵀ the decomposition of W − Q: A = diag(√S) Vᵀ and B = U diag(√S), first R. Neither is divided by the scale, as in
//! PEFT, so where s is not 1 the start is Q + s B A. The runs train on Q, so they have cohorts of their own, and an adapter belongs to Q and not to W.
//! One round, as PEFT does by default; more would quantise W − B A again.

use loralab_linalg::{Mat, MatRef, Svd, from_rows, svd, to_rows};

use super::{Begins, Layer, Quantiser, Rule, Scheme, Start, StartError, Trains};

/// LoftQ over a base of four bits.
pub(super) static LOFTQ_NF4: Scheme = Scheme {
    name: "loftq-nf4",
    about: "the base is kept in 4 bits, the adapter begins as what that loses; it belongs to the base of 4 bits",
    source: "Li et al. 2023, LoftQ, arXiv 2310.08659, as PEFT has it, one round",
    rule: Rule::Quantised(Quantiser::Nf4, start),
    begins: Begins::Elsewhere,
    frozen_pair: false,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: false,
};

/// LoftQ over a base of eight bits.
pub(super) static LOFTQ_INT8: Scheme = Scheme {
    name: "loftq-int8",
    about: "the base is kept in 8 bits, the adapter begins as what that loses; it belongs to the base of 8 bits",
    source: "Li et al. 2023, LoftQ, arXiv 2310.08659, over integers as PEFT has them, one round",
    rule: Rule::Quantised(Quantiser::Int8, start),
    begins: Begins::Elsewhere,
    frozen_pair: false,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: false,
};

fn start(layer: &Layer<'_>, weight: MatRef<'_, f64>, quantiser: Quantiser) -> Result<Start, StartError> {
    let kept = from_rows(&quantiser.apply(&to_rows(weight), layer.inputs), layer.outputs, layer.inputs);
    let Svd { u, s, v } = svd((weight - kept).as_ref()).map_err(layer.undecomposed("quantisation error"))?;
    let count = layer.rank.min(s.len());
    let a = Mat::from_fn(count, layer.inputs, |k, column| s[k].sqrt() * v[(column, k)]);
    let b = Mat::from_fn(layer.outputs, count, |row, k| u[(row, k)] * s[k].sqrt());
    Ok(layer.padded(a.as_ref(), b.as_ref()))
}
