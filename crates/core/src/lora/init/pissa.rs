//! PiSSA: the adapter takes over the principal directions of the weight, and trains them.
//!
//! With W = U diag(S) Vᵀ: A = diag(√(S/s)) Vᵀ and B = U diag(√(S/s)), first R triplets, so that s B A is the best approximation of W by rank R. The
//! paper subtracts it from W; here the frozen pair does. ‖A‖² = ‖B‖² = Σ Sₖ / s.

use loralab_linalg::{Mat, Stream, Svd, leading_svd};

use super::choice::{AnyChoice, Choice};
use super::{Begins, Layer, Rule, Scheme, Sketch, Start, StartError, Trains};

/// PiSSA by the exact decomposition.
pub(super) static PISSA: Scheme = Scheme {
    name: "pissa",
    about: "the leading singular triplets of the weight, split evenly between A and B and taken out of the base",
    source: "Meng, Wang, Zhang 2024, PiSSA, arXiv 2404.02948, section 3",
    rule: Rule::Weights(exact),
    begins: Begins::AtBase,
    frozen_pair: true,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: true,
    options: &[],
};

/// PiSSA by a randomised decomposition, as PEFT's `pissa_niter_4`: four power iterations, no oversampling.
pub(super) static PISSA_NITER_4: Scheme = Scheme {
    name: "pissa-niter-4",
    about: "pissa by a randomised decomposition with four power iterations, nearly the same",
    source: "Meng, Wang, Zhang 2024, PiSSA, arXiv 2404.02948, as PEFT implements \"pissa_niter_4\" (no oversampling)",
    rule: Rule::Triplets { start: niter_4, sketch: Sketch { ranks: 1, iterations: NITER.default } },
    begins: Begins::AtBase,
    frozen_pair: true,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: true,
    options: &[AnyChoice::Count(&NITER)],
};

/// Power iterations of the randomised decomposition; the source's scripts use 16.
const NITER: Choice<usize> = Choice::count("niter", "power iterations", 4, [0, 64]).sets(|rule, niter| {
    if let Rule::Triplets { sketch, .. } = rule {
        sketch.iterations = niter;
    }
});

fn exact(layer: &Layer<'_>, weight: &[f32], _: u64) -> Result<Start, StartError> {
    let stream = Stream::new(0, &format!("{}.triplets", layer.name));
    let triplets =
        leading_svd(&layer.matrix(weight).as_ref(), layer.rank, &stream).map_err(layer.undecomposed("weight"))?;
    Ok(balanced(layer, &triplets, 0))
}

fn niter_4(layer: &Layer<'_>, weight: &Svd) -> Result<Start, StartError> {
    Ok(balanced(layer, weight, 0))
}

/// The triplets from `first`, at most R of them, split evenly between the factors, with their product subtracted.
pub(super) fn balanced(layer: &Layer<'_>, Svd { u, s, v }: &Svd, first: usize) -> Start {
    let scale = f64::from(layer.scale);
    let count = layer.rank.min(s.len() - first);
    let root = |k: usize| (s[first + k] / scale).sqrt();
    let a = Mat::from_fn(count, layer.inputs, |k, column| root(k) * v[(column, first + k)]);
    let b = Mat::from_fn(layer.outputs, count, |row, k| u[(row, first + k)] * root(k));
    layer.padded(a.as_ref(), b.as_ref()).subtracted()
}
