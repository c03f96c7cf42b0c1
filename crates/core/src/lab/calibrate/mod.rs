//! Starts that ask a device, the one that will train them: what some batches say of the layers of a base, and products with its weights.
//!
//! Everything as large as a weight is made there, by the kernels of training. A *weight* W is decomposed there but for a small matrix: X Wᵀ and X W of a few
//! rows X, as a linear layer makes them forwards and backwards, with the rows made orthonormal in between; OLoRA and NoRA ask for one such product. The
//! principal *components* of a layer's inputs are found in the same way, batch by batch. The *moments* of a layer's inputs are sums over rows, as the gradient
//! of a weight is. The *gradients* are never formed: an adapter with B = 0 leaves the model as it is and has dB = s·G Aᵀ, one with A = 0 has dA = s·Bᵀ G, so an
//! adapter is a probe that multiplies the gradient of its weight from either side, all layers in one pass; that is all that a randomised decomposition asks. A
//! *preheat* is a training. The host decomposes what remains.
//!
//! A run sees the first batches of its own order of the training data, so a start depends on data and seed, not on the cohort.

mod components;
mod gradients;
mod incremental;
mod labels;
mod moments;
mod needs;
mod preheat;
mod range;
mod triplets;
mod weights;

use std::sync::Arc;

pub use incremental::{Finder, Incremental};
pub use needs::{Phase, Setup, once, probed};
pub use range::{orthonormal, range, transposed_product};

use loralab_data::{Batch, Dataset, Sampler};

use crate::{
    device::{DeviceError, MakeDevice},
    graph::{
        plan::{Optimizer, Plan, Preconditioner, Shape},
        tape::Tape,
    },
    lab::train::{Initial, Run, start},
    lora::init::{Layer, Rule, StartError},
    models::{Adapters, Base, Training},
};

/// Batches that a start reads.
const BATCHES: u64 = 8;
/// Batches that a start reads at most where it reads until it settles.
const MOST_BATCHES: u64 = 32;

/// What starts that ask a device are made with.
pub struct Calibration<'a, 'm> {
    /// The base.
    pub base: &'a Base,
    /// The modules with adapters, and the rank that a scheme is asked for.
    pub adapters: &'a Adapters,
    /// B of a run.
    pub sequences: usize,
    /// T.
    pub tokens: usize,
    /// What trains where a start is a training.
    pub optimizer: Optimizer,
    /// What its gradients are multiplied by before it sees them.
    pub preconditioner: Option<Preconditioner>,
    /// Steps of a run.
    pub steps: usize,
    /// The training data.
    pub train: &'a Dataset,
    /// Makes the devices.
    pub make_device: MakeDevice<'m>,
}

/// How a run begins, and what it took to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibrated {
    /// How it begins.
    pub initial: Arc<Initial>,
    /// Tokens that went through the model for it, forwards alone or there and back.
    pub tokens: usize,
}

/// How a run begins, or why its scheme can't start it.
pub type Begun = Result<Arc<Calibrated>, StartError>;

/// Why a start can't be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CalibrationError {
    /// Data that do not fit.
    #[error(transparent)]
    Data(#[from] loralab_data::Error),
    /// A start that is impossible.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A device that fails.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

impl Calibration<'_, '_> {
    /// How each run begins that is to train by `plan`, or why it can't; alike runs share it.
    ///
    /// # Errors
    /// If the data do not fit, or a device fails.
    pub async fn starts(&self, runs: &[Run], plan: &Plan) -> Result<Vec<Begun>, CalibrationError> {
        let mut found: Vec<Option<Begun>> = vec![None; runs.len()];
        let preheated: Vec<usize> =
            (0..runs.len()).filter(|&index| matches!(runs[index].scheme.rule, Rule::Preheat { .. })).collect();
        let rule = preheated.first().map(|&index| runs[index].scheme.rule_with(&runs[index].chosen));
        if let Some(rule @ Rule::Preheat { start, ranks, .. }) = rule {
            let together: Vec<Run> = preheated.iter().map(|&index| runs[index].clone()).collect();
            for (index, calibrated) in
                preheated.iter().zip(self.preheat(&together, plan, start, ranks, rule.steps_before(self.steps)).await?)
            {
                found[*index] = Some(calibrated.map(Arc::new));
            }
        }
        for first in 0..runs.len() {
            if found[first].is_some() {
                continue;
            }
            let run = &runs[first];
            let calibrated = match run.scheme.rule_with(&run.chosen) {
                Rule::Activations { start, labels, .. } => self.by_activations(run, plan, start, labels).await,
                Rule::Components { start, spread, settle } => {
                    self.by_components(run, plan, start, spread, settle).await
                }
                Rule::Product { rows, start } => self.by_product(run, plan, rows, start).await,
                Rule::Triplets { start, sketch } => self.by_weights(run, plan, start, sketch).await,
                Rule::Gradients { start, sketch } => self.by_gradients(run, plan, start, sketch).await,
                _ => start(plan, &self.base.tensors, run)
                    .map(|initial| Calibrated { initial: Arc::new(initial), tokens: 0 })
                    .map_err(CalibrationError::from),
            };
            let calibrated = match calibrated {
                Ok(calibrated) => Ok(Arc::new(calibrated)),
                Err(CalibrationError::Start(reason)) => Err(reason),
                Err(error) => return Err(error),
            };
            for (index, other) in runs.iter().enumerate().skip(first) {
                if found[index].is_none() && other.starts_as(run) {
                    found[index] = Some(calibrated.clone());
                }
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// What starts are made for.
    fn setup(&self) -> Setup<'_> {
        let Calibration { base, adapters, sequences, tokens, optimizer, preconditioner, .. } = *self;
        Setup { base, adapters, sequences, tokens, optimizer, preconditioner }
    }

    fn shape(&self) -> Shape {
        Shape { runs: 1, sequences: self.sequences, tokens: self.tokens }
    }

    /// See [`observed`].
    fn observed(&self, layers: &[Layer<'_>]) -> (Tape, Vec<usize>) {
        observed(self.base, self.shape(), layers)
    }

    /// The first batches of a seed.
    fn batches(&self, seed: u64, count: u64) -> Result<impl Iterator<Item = Batch>, CalibrationError> {
        let mut sampler = Sampler::new(self.train, seed, self.sequences, self.tokens)?;
        Ok((0..count).map(move |step| sampler.batch(step)))
    }
}

/// A model whose layers' inputs are observed, and for each layer which of those is its own.
fn observed(base: &Base, shape: Shape, layers: &[Layer<'_>]) -> (Tape, Vec<usize>) {
    let modules: Vec<String> = layers.iter().map(|layer| layer.name.to_owned()).collect();
    let mut tape = Tape::new(shape, false);
    base.model.record(&mut tape, Training::Observed(base, &modules));
    let groups = tape.observed();
    let own = |module: &String| groups.iter().position(|group| group.contains(module));
    let of_layer = modules.iter().filter_map(own).collect();
    (tape, of_layer)
}
