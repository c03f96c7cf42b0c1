//! Sylvester: A is the projection with the least error in encoding the layer's inputs into a chosen code and decoding them from it.
//!
//! For inputs X, (I, rows), and a code S, (R, rows), A minimises λ ‖A X − S‖² + ‖X − Aᵀ S‖², whose stationary point solves the Sylvester equation
//! (S Sᵀ) A + A (λ X Xᵀ) = (1 + λ) S Xᵀ. The source starts whole networks in this way, layer by layer; here it starts A alone, B is zero and the base is unchanged.
//!
//! The code is S = Uᵀ X with U the first R principal directions about zero. The solution is then A = Uᵀ for any λ: the start of EVA without subtracting
//! the mean and without redistributing ranks. The equation is solved nevertheless, since with another code the solution is not known beforehand.
//!
//! The other code is made of labels. The use of labels as a code and the equation are the source's as we recall them (its text could not be read again). A language
//! model has no classes but the tokens to be predicted, so the following is **ours**: every token of the vocabulary gets R standard normal numbers, drawn
//! once for all layers, and a row's code is that of its target less the mean of all rows' codes, so that A does not encode what all rows have in
//! common. The equation is not homogeneous: for a code much larger than the inputs A becomes the classes' mean inputs, S Xᵀ; for one much smaller, a regression,
//! S Xᵀ (X Xᵀ)⁻¹. So the code is scaled to the power Σ E\[S²\] of the first R principal components.

use loralab_linalg::{Eigen, Mat, sylvester, symmetric_eigen};

use super::choice::{AnyChoice, Choice, Domain};
use super::{
    Begins, Rule, Scheme, Start, StartError, Trains,
    calibration::{Code, KnownLayer, ROUNDING},
};

/// λ of the source.
const LAMBDA: Choice<f64> = Choice::number("lambda", "the weight of encoding against decoding", 1.0, Domain::Positive);

/// Sylvester with the code of the principal directions.
pub(super) static SYLVESTER_PCA: Scheme = Scheme {
    name: "sylvester-pca",
    about: "A solves Sylvester's equation between the layer's inputs and their principal components; B is zero",
    source: "Das, Bhalgat, Porikli 2021, Data-driven Weight Initialization with Sylvester Solvers, arXiv 2105.10335, applied to A",
    rule: Rule::Activations { start: principal, spread: 1, labels: false },
    begins: Begins::AtBase,
    frozen_pair: false,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: false,
    options: &[AnyChoice::Number(&LAMBDA)],
};

/// Sylvester with a code of the labels.
pub(super) static SYLVESTER_LABELS: Scheme = Scheme {
    name: "sylvester-labels",
    about: "A solves Sylvester's equation between the layer's inputs and a random code of the tokens to be predicted; B is zero",
    source: "Das, Bhalgat, Porikli 2021, Data-driven Weight Initialization with Sylvester Solvers, arXiv 2105.10335, applied to A, with a code of our own",
    rule: Rule::Activations { start: labelled, spread: 1, labels: true },
    begins: Begins::AtBase,
    frozen_pair: false,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: false,
    options: &[AnyChoice::Number(&LAMBDA)],
};

fn principal(layers: &[KnownLayer<'_>]) -> Result<Vec<Start>, StartError> {
    let start = |known: &KnownLayer<'_>| {
        let layer = &known.layer;
        known.check_rows(SYLVESTER_PCA.name, layer.rank)?;
        let Eigen { vectors: directions, values } = known.leading(layer.rank)?;
        known.check_directions(SYLVESTER_PCA.name, &values)?;
        let code = directions.transpose() * known.inputs.second();
        solved(known, &(&code * &directions), &code)
    };
    layers.iter().map(start).collect()
}

fn labelled(layers: &[KnownLayer<'_>]) -> Result<Vec<Start>, StartError> {
    let start = |known: &KnownLayer<'_>| {
        let layer = &known.layer;
        known.check_rows(SYLVESTER_LABELS.name, layer.rank)?;
        let nothing = || StartError::OneLabel { scheme: SYLVESTER_LABELS.name, module: layer.name.to_owned() };
        let Code { own, cross } = known.code.ok_or_else(nothing)?;
        let power: f64 = (0..own.nrows()).map(|k| own[(k, k)]).sum();
        if power <= 0.0 {
            return Err(nothing());
        }
        let values = known.leading(own.nrows())?.values;
        known.check_directions(SYLVESTER_LABELS.name, &values)?;
        let of_labels = symmetric_eigen(own.as_ref()).map_err(layer.undecomposed("code of the labels"))?.values;
        let found = of_labels.iter().filter(|value| **value > ROUNDING * power).count();
        layer.check_directions(SYLVESTER_LABELS.name, "labels", found, own.nrows())?;
        let principal: f64 = values.iter().sum();
        let size = (principal.max(0.0) / power).sqrt();
        solved(known, &scaled(own, size * size), &scaled(cross, size))
    };
    layers.iter().map(start).collect()
}

/// The start whose A solves the equation for a code with E\[S Sᵀ\] and E\[S xᵀ\].
fn solved(known: &KnownLayer<'_>, own: &Mat<f64>, cross: &Mat<f64>) -> Result<Start, StartError> {
    let (layer, second) = (&known.layer, known.inputs.second());
    let lambda = layer.value(&LAMBDA);
    let a = sylvester(own.as_ref(), scaled(&second, lambda).as_ref(), scaled(cross, 1.0 + lambda).as_ref())
        .map_err(layer.undecomposed("second moment of the inputs"))?;
    Ok(layer.padded(a.as_ref(), Mat::zeros(layer.outputs, a.nrows()).as_ref()))
}

fn scaled(m: &Mat<f64>, factor: f64) -> Mat<f64> {
    Mat::from_fn(m.nrows(), m.ncols(), |i, j| factor * m[(i, j)])
}
