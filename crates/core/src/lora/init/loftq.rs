//! LoftQ: the base is quantised to few bits, and the adapter starts as the best low-rank approximation of the quantisation error.
//!
//! With Q the quantised W and U diag(S) Vᵀ the decomposition of W − Q: A = diag(√S) Vᵀ and B = U diag(√S), first R. Neither is divided by the scale, as in
//! PEFT, so if s is not 1 the start is Q + s B A. The runs train on Q, so they have cohorts of their own, and an adapter belongs to Q and not to W.
//! The default is one round, as in PEFT; each further round quantises W − B A in place of W.

use loralab_cpu::Weights;
use loralab_linalg::{Mat, Svd, from_rows, svd, to_rows};

use super::choice::{AnyChoice, Choice, Value};
use super::{Begins, Layer, Rule, Scheme, Start, StartError, Trains};
use crate::graph::memory::{Quantised, Quantiser};

/// LoftQ over a 4-bit base.
pub(super) static LOFTQ_NF4: Scheme = Scheme {
    name: "loftq-nf4",
    about: "the base is kept in 4 bits, the adapter begins as what that loses; it belongs to the base of 4 bits",
    source: "Li et al. 2023, LoftQ, arXiv 2310.08659, as PEFT has it",
    rule: Rule::Quantised(Quantiser::Nf4, start),
    begins: Begins::Elsewhere,
    frozen_pair: false,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: false,
    options: &[AnyChoice::Count(&ROUNDS)],
};

/// LoftQ over an 8-bit base.
pub(super) static LOFTQ_INT8: Scheme = Scheme {
    name: "loftq-int8",
    about: "the base is kept in 8 bits, the adapter begins as what that loses; it belongs to the base of 8 bits",
    source: "Li et al. 2023, LoftQ, arXiv 2310.08659, over integers as PEFT has them",
    rule: Rule::Quantised(Quantiser::Int8, start),
    begins: Begins::Elsewhere,
    frozen_pair: false,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: false,
    options: &[AnyChoice::Count(&ROUNDS)],
};

/// The number of rounds, T in the source.
const ROUNDS: Choice<usize> =
    Choice::count("rounds", "how often the base is brought to few bits and the adapter made up anew", 1, [1, 64]);

/// The number of rounds that a set of option values gives.
pub(crate) fn rounds(chosen: &[(&'static str, Value)]) -> usize {
    ROUNDS.among(chosen)
}

/// The quantised weight, with rows of `columns` elements, after `rounds` rounds with a low-rank fit of rank `rank`. A round whose decomposition fails is the last.
pub(crate) fn quantised(quantiser: Quantiser, weight: &[f32], columns: usize, rank: usize, rounds: usize) -> Quantised {
    let mut quantised = quantiser.pack(Weights::F32(weight), columns);
    if rounds > 1 {
        let rows = weight.len() / columns.max(1);
        let weight = from_rows(weight, rows, columns);
        for _ in 1..rounds {
            let Ok(lost) = svd((&weight - from_rows(&quantised.to_f32(), rows, columns)).as_ref()) else { break };
            let (a, b) = factors(&lost, rank);
            quantised = quantiser.pack(Weights::F32(&to_rows((&weight - b * a).as_ref())), columns);
        }
    }
    quantised
}

fn start(layer: &Layer<'_>, weight: &[f32], quantiser: Quantiser) -> Result<Start, StartError> {
    let quantised = quantised(quantiser, weight, layer.inputs, layer.rank, rounds(layer.chosen));
    let quantised = from_rows(&quantised.to_f32(), layer.outputs, layer.inputs);
    let lost = svd((layer.matrix(weight) - quantised).as_ref()).map_err(layer.undecomposed("quantisation error"))?;
    let (a, b) = factors(&lost, layer.rank);
    Ok(layer.padded(a.as_ref(), b.as_ref()))
}

/// diag(√S) Vᵀ and U diag(√S), of the first R triplets.
fn factors(Svd { u, s, v }: &Svd, rank: usize) -> (Mat<f64>, Mat<f64>) {
    let count = rank.min(s.len());
    let a = Mat::from_fn(count, v.nrows(), |k, column| s[k].sqrt() * v[(column, k)]);
    let b = Mat::from_fn(u.nrows(), count, |row, k| u[(row, k)] * s[k].sqrt());
    (a, b)
}
