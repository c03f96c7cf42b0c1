//! Pretraining: every weight of a decoder trained from random values, on the same tape and devices as adapters.

use std::sync::Arc;

use half::f16;
use loralab_data::{Dataset, Error, Sampler};

use crate::{
    device::{Cpu, Device, DeviceError, Inputs, RunSettings},
    graph::{
        memory::{Data, Tensor},
        plan::{Optimizer, Shape},
        tape::{Purpose, Tape},
    },
    lab::train::{CohortState, StateError},
    models::{
        Base, Model, Training,
        llama::{Config, initial_weight},
    },
};

/// The settings of a pretraining.
#[derive(Clone, Debug, PartialEq)]
pub struct Pretraining {
    /// The sizes of the model.
    pub config: Config,
    /// The number of sequences of a batch, B.
    pub sequences: usize,
    /// The number of tokens of a sequence, T.
    pub tokens: usize,
    /// The number of AdamW steps (β 0.9, 0.95; gradients clipped to norm 1).
    pub steps: usize,
    /// The peak learning rate, with a warm-up over the first 2 % of the steps and a cosine decay to a tenth.
    pub learning_rate: f64,
    /// Decoupled weight decay of the matrices.
    pub weight_decay: f64,
    /// The seed of the initial weights and of the data order.
    pub seed: u64,
    /// The number of threads; none for as many as the machine offers.
    pub threads: Option<usize>,
}

impl Pretraining {
    fn learning_rate(&self, step: usize) -> f64 {
        let warmup = (self.steps / 50).max(1);
        if step < warmup {
            return self.learning_rate * (step + 1) as f64 / warmup as f64;
        }
        let progress = (step - warmup) as f64 / (self.steps - warmup).max(1) as f64;
        self.learning_rate * (0.1 + 0.45 * (1.0 + (std::f64::consts::PI * progress).cos()))
    }
}

/// The reasons that a pretraining can't start.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PretrainError {
    /// The data do not fit the sequences.
    #[error(transparent)]
    Data(#[from] Error),
    /// The state is of another pretraining.
    #[error(transparent)]
    State(#[from] StateError),
}

/// A pretraining after a step.
pub struct Pretrained<'a> {
    /// The step, from 1.
    pub step: usize,
    /// Its training loss, in nats per token.
    pub loss: f64,
    device: &'a mut dyn Device,
}

impl Pretrained<'_> {
    /// The state to continue from.
    ///
    /// # Errors
    /// If the device fails.
    pub async fn state(&mut self) -> Result<CohortState, DeviceError> {
        Ok(CohortState { step: self.step, runs: self.device.states().await? })
    }
}

/// Trains a base on `train`, from a state if one is given, and returns it with f16 weights. `on_step` ends the training early by returning false.
///
/// # Errors
/// If the data do not fit the sequences, or the state is of another pretraining.
pub fn pretrain(
    settings: &Pretraining,
    train: &Dataset,
    from: Option<&CohortState>,
    mut on_step: impl FnMut(&mut Pretrained<'_>) -> bool,
) -> Result<Base, PretrainError> {
    let Pretraining { config, sequences, tokens, steps, seed, .. } = settings;
    let mut sampler = Sampler::new(train, *seed, *sequences, *tokens)?;
    let mut tape = Tape::new(Shape { runs: 1, sequences: *sequences, tokens: *tokens }, false);
    Model::from(config.clone()).record(&mut tape, Training::Everything);
    let optimizer = Optimizer::AdamW { beta1: 0.9, beta2: 0.95, epsilon: 1e-8 };
    let plan = Arc::new(tape.compile(Purpose::Train(optimizer)));
    let start: Vec<f32> = plan
        .parameters
        .iter()
        .flat_map(|parameter| initial_weight(&parameter.name, parameter.group, parameter.span, config.layers, *seed))
        .collect();
    let mut device = Cpu::<f32>::new(plan.clone(), Arc::from([]), settings.threads);
    let run =
        RunSettings { scale: 1.0, learning_rate_ratio: 1.0, weight_decay: settings.weight_decay, max_grad_norm: 1.0 };
    device.load(0, &start, &[], run);
    if let Some(from) = from {
        from.check(1, &plan)?;
        device.restore(&from.runs);
    }
    let base = |trained: &[f32]| {
        let mut config = config.clone();
        config.tokens = *tokens;
        let model = Model::from(config);
        let tensors = model.tensors().into_iter().map(|(name, shape)| {
            let parameter = plan.parameters.iter().find(|parameter| parameter.name == name);
            let span = parameter.expect("pretraining declares every tensor of the config").span;
            let data = Data::F16(trained[span.range()].iter().map(|&x| f16::from_f32(x)).collect());
            Tensor { name, shape, data }
        });
        Base { tensors: tensors.collect(), model }
    };
    for step in from.map_or(0, |from| from.step)..*steps {
        let batch = sampler.batch(step as u64);
        let reports = device.step(&[Inputs::from(&batch)], &[settings.learning_rate(step)]);
        let loss = reports.iter().flatten().next().map_or(f64::NAN, |report| report.loss);
        if !on_step(&mut Pretrained { step: step + 1, loss, device: &mut device }) {
            break;
        }
    }
    Ok(base(&device.trained(0)))
}
