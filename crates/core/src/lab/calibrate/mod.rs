//! Data-dependent initialisation on the device that will train: statistics of the layers over some batches, and products with the base's weights.
//!
//! Everything as large as a weight is computed on the device, by the kernels of training. A *weight* W is decomposed there up to a small matrix: X Wᵀ and X W
//! for a few rows X, as a linear layer's forward and backward pass give them, with the rows made orthonormal in between; OLoRA and NoRA need one such product.
//! The principal *components* of a layer's inputs are found in the same way, batch by batch. The *moments* of a layer's inputs are sums over rows.
//! The *gradients* are never formed: an adapter with B = 0 leaves the model as it is and has dB = s·G Aᵀ, one with A = 0 has dA = s·Bᵀ G, so an
//! adapter multiplies the gradient of its weight from either side, all layers in one pass; a randomised decomposition needs no more than that. A *preheat* is a
//! training. The host decomposes the small matrices that remain.
//!
//! A run reads the first batches of its own order of the training data, so a start depends on data and seed, not on the cohort.

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
        plan::{Plan, Shape},
        tape::Tape,
    },
    lab::train::{Initial, Run, start},
    lora::init::{Layer, Rule, StartError},
    models::{Base, Training},
};

/// Batches that a start reads.
const BATCHES: u64 = 8;
/// The most batches that a start reads if it reads until its directions settle.
const MOST_BATCHES: u64 = 32;

/// Inputs for data-dependent initialisation.
pub struct Calibration<'a, 'm> {
    /// The base, the adapters and the training that the starts are for.
    pub setup: Setup<'a>,
    /// Steps of a run.
    pub steps: usize,
    /// The training data.
    pub train: &'a Dataset,
    /// Creates the devices.
    pub make_device: MakeDevice<'m>,
}

/// The initial values of a run, and the tokens read to compute them.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibrated {
    /// The initial values.
    pub initial: Arc<Initial>,
    /// Tokens that went through the model, in forward passes or in forward and backward passes.
    pub tokens: usize,
}

/// The initial values of a run, or the reason its scheme can't start it.
pub type RunStart = Result<Arc<Calibrated>, StartError>;

/// The reasons that a start can't be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CalibrationError {
    /// The data do not fit the sequences.
    #[error(transparent)]
    Data(#[from] loralab_data::Error),
    /// The scheme can't start this adapter.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A device fails.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

impl Calibration<'_, '_> {
    /// The start of each run that is to train by `plan`, or the reason it has none; runs with equal starts share one.
    ///
    /// # Errors
    /// If the data do not fit the sequences, or a device fails.
    pub async fn starts(&self, runs: &[Run], plan: &Plan) -> Result<Vec<RunStart>, CalibrationError> {
        let mut found: Vec<Option<RunStart>> = vec![None; runs.len()];
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
                _ => start(plan, &self.setup.base.tensors, run)
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

    /// See [`observed`].
    fn observed(&self, layers: &[Layer<'_>]) -> (Tape, Vec<usize>) {
        observed(self.setup.base, self.setup.shape(), layers)
    }

    /// The first `count` batches of a seed.
    fn batches(&self, seed: u64, count: u64) -> Result<impl Iterator<Item = Batch>, CalibrationError> {
        let mut sampler = Sampler::new(self.train, seed, self.setup.sequences, self.setup.tokens)?;
        Ok((0..count).map(move |step| sampler.batch(step)))
    }
}

/// A model that records its layers' inputs, and for each layer the index of its input among them.
fn observed(base: &Base, shape: Shape, layers: &[Layer<'_>]) -> (Tape, Vec<usize>) {
    let modules: Vec<String> = layers.iter().map(|layer| layer.name.to_owned()).collect();
    let mut tape = Tape::new(shape, false);
    base.model.record(&mut tape, Training::Observed(base, &modules));
    let groups = tape.observed();
    let own = |module: &String| groups.iter().position(|group| group.contains(module));
    let of_layer = modules.iter().filter_map(own).collect();
    (tape, of_layer)
}
