//! CorDA: the weight is decomposed relative to its inputs, and the adapter takes the directions that matter most, or least, for them.
//!
//! With C the second moment of the inputs, about zero, and W C = U diag(S) Vᵀ: W = U diag(S) (Vᵀ C⁻¹). A = diag(√(S/s)) (Vᵀ C⁻¹) and B = U diag(√(S/s)), of the
//! first R triplets (IPM, the instruction-previewed mode: adapt to these data) or of the last R (KPM, the knowledge-preserved mode: the data are what
//! the model must not forget). The frozen pair subtracts the product.
//!
//! C is damped to C + 0.01·mean(diag C)·I. The source doubles the damping while ‖C C⁻¹ − I‖ ≥ 0.05, which in f64 it never is. It also divides the inputs of
//! each batch by |max x| before it sums; here C is divided by the mean of its diagonal, once. If batches have the same largest entry, the products
//! are the same, and the factors differ by a constant that moves between A and B.

use loralab_linalg::{Mat, Multiply, NoConvergence, Product, Stream, Svd, leading_svd, solve, svd};

use super::choice::{AnyChoice, Choice, Domain};
use super::{Begins, Rule, Scheme, Start, StartError, Trains, calibration::KnownLayer, pissa::balanced};

/// Damping, as a share of the mean of the diagonal.
const DAMPING: Choice<f64> =
    Choice::number("damping", "what is added to the moment's diagonal, as a share of its mean", 0.01, Domain::Positive);

/// CorDA in its instruction-previewed mode.
pub(super) static CORDA_IPM: Scheme = Scheme {
    name: "corda-ipm",
    about: "the triplets of the weight that its inputs excite most, split between A and B and taken out of the base",
    source: "Yang et al. 2024, CorDA, arXiv 2406.05223, instruction-previewed mode",
    rule: Rule::Activations { start: first, spread: 1, labels: false },
    begins: Begins::AtBase,
    frozen_pair: true,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: true,
    options: &[AnyChoice::Number(&DAMPING)],
};

/// CorDA in its knowledge-preserved mode.
pub(super) static CORDA_KPM: Scheme = Scheme {
    name: "corda-kpm",
    about: "the triplets of the weight that its inputs excite least, split between A and B and taken out of the base",
    source: "Yang et al. 2024, CorDA, arXiv 2406.05223, knowledge-preserved mode",
    rule: Rule::Activations { start: last, spread: 1, labels: false },
    begins: Begins::AtBase,
    frozen_pair: true,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: true,
    options: &[AnyChoice::Number(&DAMPING)],
};

fn first(layers: &[KnownLayer<'_>]) -> Result<Vec<Start>, StartError> {
    let decompose = |known: &KnownLayer<'_>, m: &dyn Multiply| {
        leading_svd(m, known.layer.rank, &Stream::new(0, &format!("{}.triplets", known.layer.name)))
    };
    layers.iter().map(|known| Ok(balanced(&known.layer, &oriented(known, decompose)?, 0))).collect()
}

fn last(layers: &[KnownLayer<'_>]) -> Result<Vec<Start>, StartError> {
    let start = |known: &KnownLayer<'_>| {
        let triplets = oriented(known, |_, m| svd(m.whole().as_ref()))?;
        let beyond = triplets.s.len().saturating_sub(known.layer.rank);
        Ok(balanced(&known.layer, &triplets, beyond))
    };
    layers.iter().map(start).collect()
}

/// Triplets of W C with the source's V, C⁻¹ V, whose columns are not orthonormal: W is the sum of all of them.
fn oriented<'a>(
    known: &KnownLayer<'a>,
    decompose: impl FnOnce(&KnownLayer<'a>, &dyn Multiply) -> Result<Svd, NoConvergence>,
) -> Result<Svd, StartError> {
    let inputs = known.layer.inputs;
    let second = known.inputs.second();
    let mean = (0..inputs).map(|i| second[(i, i)]).sum::<f64>() / inputs as f64;
    if mean.is_nan() || mean <= 0.0 {
        return Err(StartError::NoVariance { scheme: "corda", module: known.layer.name.to_owned() });
    }
    let share = known.layer.value(&DAMPING);
    let damping = |i: usize, j: usize| if i == j { share } else { 0.0 };
    let damped = Mat::from_fn(inputs, inputs, |i, j| second[(i, j)] / mean + damping(i, j));
    let undecomposed = known.layer.undecomposed("weight times the second moment of the inputs");
    let weight = (known.weight)()?;
    let product = Product { left: weight.as_ref(), right: damped.as_ref() };
    let Svd { u, s, v } = decompose(known, &product).map_err(undecomposed)?;
    let solved = solve(damped.as_ref(), v.as_ref()).map_err(known.layer.undecomposed("second moment of the inputs"))?;
    Ok(Svd { u, s, v: solved })
}
