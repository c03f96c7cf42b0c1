//! Devices: what can replay a plan.
//!
//! A device owns the memory of K runs and knows nothing of models, data or schedules: it is handed rows and learning rates and gives back
//! losses. Results are per run, and do not depend on which other runs share the cohort.
//!
//! Steps are handed over first and asked about later, so that a GPU is never idle while the host reads what the last step said. What has to wait
//! for a GPU is a future, because a browser must not block; natively [`wait`] is all that a caller needs.

mod cpu;
mod gpu;
mod inputs;
mod machine;
pub mod webgpu;
mod workers;

use std::{future::Future, num::NonZeroUsize, pin::Pin, sync::Arc};

pub use cpu::Cpu;
pub use gpu::Gpu;
pub use inputs::{Inputs, Slice};
pub use machine::Machine;
pub(crate) use workers::Workers;

use crate::{
    device::webgpu::{self as hardware, GpuError},
    graph::{
        memory::{Drawn, Tensor},
        ops::Op,
        plan::Plan,
        shader::Shader,
    },
};

/// Every shader there is.
pub fn shaders() -> impl Iterator<Item = &'static Shader> {
    Op::shaders().chain(gpu::SHADERS).chain(hardware::shaders())
}

/// What one run keeps for all its steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunSettings {
    /// LoRA's scale s.
    pub scale: f64,
    /// Learning rate of B divided by that of A (LoRA+, Hayou et al. 2024, arXiv 2402.12354); 1 is plain LoRA.
    pub learning_rate_ratio: f64,
    /// Decoupled weight decay (AdamW, SignSGD) or the L2 term added to the gradient (SGD).
    pub weight_decay: f64,
    /// Largest global norm of a run's gradient; 0 leaves it as it is.
    pub max_grad_norm: f64,
}

impl RunSettings {
    /// Neither scaled nor decayed nor clipped, and one rate for both factors.
    pub const PLAIN: RunSettings =
        RunSettings { scale: 1.0, learning_rate_ratio: 1.0, weight_decay: 0.0, max_grad_norm: 0.0 };
}

/// What a step says of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// Training loss before the step.
    pub loss: f64,
    /// Global norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// The first tensor that was not finite, at the step where the run diverged; the run takes no further part.
    pub diverged: Option<String>,
}

/// What an evaluation says of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Weighted loss of the rows.
    pub loss: f64,
    /// For each row 1 where the largest logit is the target's or the weight is 0, else 0. Empty for a regression.
    pub correct: Vec<f32>,
}

/// What a pass over some rows says of one run, without a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// Weighted loss of the rows; 0 where the plan has none.
    pub loss: f64,
    /// Its gradient, flat, in the order of the plan's parameters, neither tested nor clipped; empty where the plan has no backward pass.
    pub gradient: Vec<f32>,
    /// What the plan observes, (B·T, columns) each: x Aᵀ of every adapter, in the order of the plan's parameters, where there are adapters.
    pub observed: Vec<Vec<f32>>,
    /// What the model says, (B·T, columns); empty where the plan does not keep it.
    pub prediction: Vec<f32>,
}

/// What a run keeps from step to step beside what it was loaded with.
#[derive(Clone, Debug, PartialEq)]
pub struct RunState {
    /// Its trained tensors, flat, in the order of the plan's parameters.
    pub trained: Vec<f32>,
    /// The optimiser's moments, the first of all trained numbers before the second.
    pub moments: Vec<f32>,
    /// Steps done, by which AdamW corrects its moments.
    pub steps: u64,
    /// Whether it has diverged.
    pub diverged: bool,
}

/// One term of the memory that a cohort takes on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// What it is, with the arithmetic.
    pub what: String,
    /// Bytes that every run adds.
    pub per_run: u64,
    /// Bytes that are there once.
    pub shared: u64,
}

impl Cost {
    /// What is there once.
    pub(crate) fn shared(what: impl Into<String>, bytes: u64) -> Cost {
        Cost { what: what.into(), per_run: 0, shared: bytes }
    }

    /// What every run adds.
    pub(crate) fn per_run(what: impl Into<String>, bytes: u64) -> Cost {
        Cost { what: what.into(), per_run: bytes, shared: 0 }
    }

    /// The bytes of so many runs.
    pub fn of(&self, runs: usize) -> u64 {
        self.per_run.saturating_mul(runs as u64).saturating_add(self.shared)
    }
}

/// The product of these sizes, in 64 bits: the memory that would not suffice may not be counted by a 32-bit `usize`. It stays at the largest number where even
/// that is too small.
pub(crate) fn bytes(factors: &[usize]) -> u64 {
    factors.iter().fold(1, |product: u64, &factor| product.saturating_mul(factor as u64))
}

/// What a device needs for a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Its memory, term by term.
    pub terms: Vec<Cost>,
    /// The most runs that a cohort of such a plan can have for a reason other than memory.
    pub most_runs: Option<NonZeroUsize>,
}

impl Needs {
    /// The bytes of so many runs.
    pub fn of(&self, runs: usize) -> u64 {
        self.terms.iter().fold(0, |sum, cost| sum.saturating_add(cost.of(runs)))
    }
}

/// Why a device could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// A GPU that is missing, too small, lost or refuses.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

/// An answer that may have to wait for a GPU.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, DeviceError>> + 'a>>;

/// Makes the device that a plan over a base runs on.
pub type MakeDevice<'a> = &'a dyn Fn(Arc<Plan>, Arc<[Tensor]>) -> Answer<'a, Box<dyn Device>>;

/// Waits for a future. In a browser nothing may wait like this.
#[cfg(not(target_family = "wasm"))]
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}

/// Anything that can replay a plan.
pub trait Device {
    /// Puts a run at its start: `trained` and `frozen_pairs` (empty where the plan has none) flat, in the order of the plan's parameters.
    fn load(&mut self, run: usize, trained: &[f32], frozen_pairs: &[f32], settings: RunSettings);

    /// The same where a few words say what it begins with: on a GPU the numbers are drawn there.
    fn draw(&mut self, run: usize, drawn: &Drawn, settings: RunSettings) {
        self.load(run, &drawn.numbers(), &drawn.frozen_pairs(), settings);
    }

    /// Hands over a forward and a backward pass over these rows, one input a run: their loss and gradient are added to those of the passes since the last
    /// update. An update must follow before anything else is asked of the device.
    fn accumulate(&mut self, inputs: &[Inputs<'_>]);

    /// Hands over what follows a complete gradient, one learning rate a run. A run that has diverged takes no part. At most
    /// [`steps_ahead`](Device::steps_ahead) updates may be handed over before their reports are asked for.
    fn update(&mut self, learning_rates: &[f64]);

    /// Hands over a step of one pass.
    fn step(&mut self, inputs: &[Inputs<'_>], learning_rates: &[f64]) {
        self.accumulate(inputs);
        self.update(learning_rates);
    }

    /// Steps that are best handed over at once.
    fn steps_ahead(&self) -> usize {
        1
    }

    /// What the steps said that were handed over since this was last asked, one entry a step; none for a run that took no part.
    fn reports(&mut self) -> Answer<'_, Vec<Vec<Option<StepReport>>>>;

    /// For each batch, one input a run, the loss of every run that has not diverged.
    fn evaluate<'a>(&'a mut self, batches: &'a [Vec<Inputs<'a>>]) -> Answer<'a, Vec<Vec<Option<Evaluation>>>>;

    /// What each run's model says, (B·T, columns); for plans that were compiled to predict.
    fn predict<'a>(&'a mut self, inputs: &'a [Inputs<'a>]) -> Answer<'a, Vec<Vec<f32>>>;

    /// A forward and, if the plan has one, a backward pass over these rows, one input a run, without a step. Runs that have diverged give what they give.
    fn probe<'a>(&'a mut self, inputs: &'a [Inputs<'a>]) -> Answer<'a, Vec<Probe>>;

    /// The trained tensors of every run, flat, in one reading.
    fn trained(&mut self) -> Answer<'_, Vec<Vec<f32>>>;

    /// What every run keeps, once the reports of all steps were asked for. Exact on a device that computes in f32.
    fn states(&mut self) -> Answer<'_, Vec<RunState>>;

    /// Puts every run where it was when `states` were taken of a device for the same plan; each must have been loaded as it was there.
    fn restore(&mut self, states: &[RunState]);
}
