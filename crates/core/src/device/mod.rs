//! Devices: what can replay a plan.
//!
//! A device owns the memory of K runs and knows nothing of models, data or schedules: it is handed rows and learning rates and gives back
//! losses. Results are per run, and do not depend on which other runs share the cohort.

mod cpu;
mod workers;

pub use cpu::Cpu;

/// The rows of one run's step or evaluation; slices that the plan has no port for are empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct Input<'a> {
    /// Token ids, (B·T).
    pub tokens: &'a [u32],
    /// Expected token ids, (B·T).
    pub targets: &'a [u32],
    /// Row weights, (B·T): 1/count where the row counts, exactly 0 elsewhere.
    pub weights: &'a [f32],
    /// Feature rows, (B·T, columns).
    pub features: &'a [f32],
    /// Expected feature rows, (B·T, columns).
    pub expected: &'a [f32],
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

/// Anything that can replay a plan.
pub trait Device {
    /// What it is, in words a person would use.
    fn describe(&self) -> String;

    /// Puts a run at its start: `trained` and `frozen_pairs` (empty where the plan has none) flat, in the order of the plan's parameters.
    fn load(&mut self, run: usize, trained: &[f32], frozen_pairs: &[f32], settings: RunSettings);

    /// One step of every run that has not diverged; the report of the others is none.
    fn step(&mut self, inputs: &[Input<'_>], learning_rates: &[f64]) -> Vec<Option<StepReport>>;

    /// The loss of every run that has not diverged.
    fn evaluate(&self, inputs: &[Input<'_>]) -> Vec<Option<Evaluation>>;

    /// What each run's model says, (B·T, columns); for plans that were compiled to predict.
    fn predict(&self, inputs: &[Input<'_>]) -> Vec<Vec<f32>>;

    /// A run's trained tensors, flat.
    fn trained(&self, run: usize) -> Vec<f32>;
}
