//! Devices: the CPU and GPU backends that replay a plan.
//!
//! A device owns the memory of K runs and knows nothing about models, data or schedules: it receives rows and learning rates and returns
//! losses. Results are per run, and do not depend on which other runs share the cohort.
//!
//! Steps are submitted first and their reports read later, so that a GPU is never idle while the host reads the last step's report. Calls that wait
//! for a GPU return a future, because a browser must not block; a native caller only needs [`wait`].

mod cpu;
mod gpu;
mod inputs;
mod machine;
pub mod webgpu;
mod workers;

use std::{future::Future, num::NonZeroUsize, pin::Pin, sync::Arc};

pub use cpu::Cpu;
pub use gpu::Gpu;
pub use inputs::{Filled, Inputs, Slice};
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

/// All shaders of the crate.
pub fn shaders() -> impl Iterator<Item = &'static Shader> {
    Op::shaders().chain(gpu::SHADERS).chain(hardware::shaders())
}

/// Settings of one run that are constant over all its steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunSettings {
    /// LoRA's scale s.
    pub scale: f64,
    /// Learning rate of B divided by that of A (LoRA+, Hayou et al. 2024, arXiv 2402.12354); 1 is plain LoRA.
    pub learning_rate_ratio: f64,
    /// Decoupled weight decay (AdamW, SignSGD) or the L2 term added to the gradient (SGD).
    pub weight_decay: f64,
    /// Largest global norm of a run's gradient; 0 disables clipping.
    pub max_grad_norm: f64,
}

impl RunSettings {
    /// Scale 1, no weight decay, no clipping, and one learning rate for both factors.
    pub const PLAIN: RunSettings =
        RunSettings { scale: 1.0, learning_rate_ratio: 1.0, weight_decay: 0.0, max_grad_norm: 0.0 };
}

/// The report of one training step of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// Training loss before the step.
    pub loss: f64,
    /// Global norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// The first tensor with a non-finite value, at the step where the run diverged; the run is skipped from then on.
    pub diverged: Option<String>,
}

/// The evaluation result of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Weighted loss of the rows.
    pub loss: f64,
    /// For each row, 1 if the largest logit is the target's or the row weight is 0, else 0. Of a regression of one column its
    /// prediction; empty for one of several.
    pub answers: Vec<f32>,
}

/// The result of one pass over some rows for one run, without a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// Weighted loss of the rows; 0 if the plan has no loss.
    pub loss: f64,
    /// Gradient of the loss, flat, in the order of the plan's parameters, neither tested for finiteness nor clipped; empty if the plan has no backward pass.
    pub gradient: Vec<f32>,
    /// The values that the plan observes, (B·T, columns) each: x Aᵀ of every adapter, in the order of the plan's parameters, if there are adapters.
    pub observed: Vec<Vec<f32>>,
    /// The model's output, (B·T, columns); empty if the plan does not keep it.
    pub prediction: Vec<f32>,
}

/// The state of a run that changes from step to step; everything else is set by [`Device::load`].
#[derive(Clone, Debug, PartialEq)]
pub struct RunState {
    /// The trained tensors, flat, in the order of the plan's parameters.
    pub trained: Vec<f32>,
    /// The optimiser's moments: the first moments of all trained elements, then the second moments.
    pub moments: Vec<f32>,
    /// Number of steps done, used for AdamW's bias correction.
    pub steps: u64,
    /// True if the run has diverged.
    pub diverged: bool,
}

/// One term of the memory that a cohort uses on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Description of the term, with the arithmetic.
    pub what: String,
    /// Bytes added by each run.
    pub per_run: u64,
    /// Bytes shared by all runs.
    pub shared: u64,
}

impl Cost {
    /// A term shared by all runs.
    pub(crate) fn shared(what: impl Into<String>, bytes: u64) -> Cost {
        Cost { what: what.into(), per_run: 0, shared: bytes }
    }

    /// A term that each run adds.
    pub(crate) fn per_run(what: impl Into<String>, bytes: u64) -> Cost {
        Cost { what: what.into(), per_run: bytes, shared: 0 }
    }

    /// The values that a plan keeps between calls, in scalars of `size` bytes; none if it keeps none.
    pub(crate) fn caches(plan: &Plan, size: usize) -> Option<Cost> {
        let elements: usize = plan.caches().map(|(_, elements)| elements).sum();
        let what = format!("keys and values of earlier tokens: {elements} numbers × {size} bytes");
        (elements > 0).then(|| Cost::per_run(what, bytes(&[elements, size])))
    }

    /// Total bytes for `runs` runs.
    pub fn of(&self, runs: usize) -> u64 {
        self.per_run.saturating_mul(runs as u64).saturating_add(self.shared)
    }
}

/// The product of these sizes in 64 bits, since a size that exceeds the available memory may overflow a 32-bit `usize`. Saturates at the largest `u64`.
pub(crate) fn bytes(factors: &[usize]) -> u64 {
    factors.iter().fold(1, |product: u64, &factor| product.saturating_mul(factor as u64))
}

/// Memory and limits that a plan requires of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The memory, term by term.
    pub terms: Vec<Cost>,
    /// Largest number of runs in a cohort of this plan, if something other than memory limits it.
    pub most_runs: Option<NonZeroUsize>,
}

impl Needs {
    /// Total bytes for `runs` runs.
    pub fn of(&self, runs: usize) -> u64 {
        self.terms.iter().fold(0, |sum, cost| sum.saturating_add(cost.of(runs)))
    }
}

/// Error of a device operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// A GPU is missing, too small, lost or refuses an operation.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

/// The future of a result that may have to wait for a GPU.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, DeviceError>> + 'a>>;

/// Function that makes the device for a plan and a base.
pub type MakeDevice<'a> = &'a dyn Fn(Arc<Plan>, Arc<[Tensor]>) -> Answer<'a, Box<dyn Device>>;

/// Blocks until a future is ready. Not available in a browser, which must not block.
#[cfg(not(target_family = "wasm"))]
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}

/// A device that can replay a plan.
pub trait Device {
    /// Sets a run to its start: `trained` and `frozen_pairs` (empty if the plan has none) are flat, in the order of the plan's parameters.
    fn load(&mut self, run: usize, trained: &[f32], frozen_pairs: &[f32], settings: RunSettings);

    /// The same as [`load`](Device::load) for initial values that are drawn at random: a GPU draws them itself instead of receiving them.
    fn draw(&mut self, run: usize, drawn: &Drawn, settings: RunSettings) {
        self.load(run, &drawn.numbers(), &drawn.frozen_pairs(), settings);
    }

    /// Submits a forward and a backward pass over these rows, one `Inputs` per run. Their loss and gradient are added to those of the passes since the last
    /// update. An update must follow before any other method is called.
    fn accumulate(&mut self, inputs: &[Inputs<'_>]);

    /// Submits the update that follows a complete gradient, with one learning rate per run. Diverged runs are skipped. At most
    /// [`steps_ahead`](Device::steps_ahead) updates may be submitted before their reports are read.
    fn update(&mut self, learning_rates: &[f64]);

    /// Submits a step of one pass: [`accumulate`](Device::accumulate), then [`update`](Device::update).
    fn step(&mut self, inputs: &[Inputs<'_>], learning_rates: &[f64]) {
        self.accumulate(inputs);
        self.update(learning_rates);
    }

    /// Number of steps that are best submitted together.
    fn steps_ahead(&self) -> usize {
        1
    }

    /// The least share of a cohort's runs, 0 to 1, that must be over for a new device with the others to be worth its making.
    fn share_to_leave(&self) -> f64 {
        0.0
    }

    /// Reports of the steps submitted since the last call, one entry per step; `None` for a run that was skipped.
    fn reports(&mut self) -> Answer<'_, Vec<Vec<Option<StepReport>>>>;

    /// Evaluates each batch, one `Inputs` per run; `None` for diverged runs.
    fn evaluate<'a>(&'a mut self, batches: &'a [Vec<Inputs<'a>>]) -> Answer<'a, Vec<Vec<Option<Evaluation>>>>;

    /// Each run's model output, (B·T, columns); for plans compiled with [`Purpose::Predict`](crate::graph::tape::Purpose::Predict).
    fn predict<'a>(&'a mut self, inputs: &'a [Inputs<'a>]) -> Answer<'a, Vec<Vec<f32>>>;

    /// Reads rows into the caches of the plan, one `Inputs` per run, whose rows are those of [`Plan::prefill`]. Nothing happens if the plan has none.
    fn prefill(&mut self, inputs: &[Inputs<'_>]);

    /// A forward and, if the plan has one, a backward pass over these rows, one `Inputs` per run, without a step. Results of diverged runs are unspecified.
    fn probe<'a>(&'a mut self, inputs: &'a [Inputs<'a>]) -> Answer<'a, Vec<Probe>>;

    /// The trained tensors of every run, flat, in one read.
    fn trained(&mut self) -> Answer<'_, Vec<Vec<f32>>>;

    /// The state of every run; call it after the reports of all steps were read. Exact on a device that computes in f32.
    fn states(&mut self) -> Answer<'_, Vec<RunState>>;

    /// Restores every run to `states`, taken from a device for the same plan; each run must first be loaded with the same values as there.
    fn restore(&mut self, states: &[RunState]);
}
