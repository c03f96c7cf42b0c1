//! Sylvester: A is the projection that encodes the layer's inputs into a chosen code and decodes them from it again with the least error.
//!
//! For inputs X, (I, rows), and a code S, (R, rows), A minimises λ ‖A X − S‖² + ‖X − Aᵀ S‖², whose stationary point solves the Sylvester equation
//! (S Sᵀ) A + A (λ X Xᵀ) = (1 + λ) S Xᵀ. The source starts whole networks so, layer by layer; here it starts A alone, B is zero and the base is kept.
//!
//! The code is S = Uᵀ X with U the first R principal directions about zero. The solution is then A = Uᵀ whatever λ is: the start that EVA would have if it
//! did not subtract the mean and did not redistribute ranks. It is solved for all the same, so that another code needs nothing else.

use loralab_linalg::{Mat, sylvester};

use super::{Begins, Rule, Scheme, Start, StartError, Trains, calibration::KnownLayer};

/// λ, the weight of encoding against decoding.
const ENCODING: f64 = 1.0;

/// Sylvester with the code of the principal directions.
pub(super) static SYLVESTER_PCA: Scheme = Scheme {
    name: "sylvester-pca",
    about: "A solves Sylvester's equation between the layer's inputs and their principal components; B is zero",
    source: "Das, Bhalgat, Porikli 2021, Data-driven Weight Initialization with Sylvester Solvers, arXiv 2105.10335, applied to A",
    rule: Rule::Activations { start, spread: 1, settle: None },
    begins: Begins::AtBase,
    frozen_pair: false,
    trains: Trains::Both,
    halves_rank: false,
    divides_by_scale: false,
};

fn start(layers: &[KnownLayer<'_>]) -> Result<Vec<Start>, StartError> {
    let start = |known: &KnownLayer<'_>| {
        let layer = &known.layer;
        known.check_rows(SYLVESTER_PCA.name, layer.rank)?;
        let second = &known.inputs.second;
        let directions = known.leading(second.as_ref(), layer.rank)?.vectors;
        let code = directions.transpose() * second;
        let own = &code * &directions;
        let scaled = |m: &Mat<f64>, factor: f64| Mat::from_fn(m.nrows(), m.ncols(), |i, j| factor * m[(i, j)]);
        let right = scaled(&code, 1.0 + ENCODING);
        let a = sylvester(own.as_ref(), scaled(second, ENCODING).as_ref(), right.as_ref())
            .map_err(layer.undecomposed("second moment of the inputs"))?;
        Ok(layer.padded(a.as_ref(), Mat::zeros(layer.outputs, a.nrows()).as_ref()))
    };
    layers.iter().map(start).collect()
}
