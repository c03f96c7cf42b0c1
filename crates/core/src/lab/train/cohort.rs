//! A cohort: K adapters trained in one pass over one frozen base.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    sync::Arc,
};

use loralab_data::{Batch, Dataset, ExactMatches, Sampler};

use super::initial::{Initial, start};
use crate::{
    device::{Device, DeviceError, Evaluation, Inputs, RunSettings, StepReport},
    graph::{
        memory::{InputName, Tensor},
        plan::Plan,
    },
    lora::init::{Chosen, Rule, Scheme, StartError},
};

/// One run of a cohort: what differs between runs.
#[derive(Clone, Debug)]
pub struct Run {
    /// How the adapter starts.
    pub scheme: &'static Scheme,
    /// The scheme's options that are not their defaults.
    pub chosen: Chosen,
    /// Fixes the adapter's draw and the data order.
    pub seed: u64,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Scale, decay, clipping.
    pub settings: RunSettings,
}

impl Run {
    /// Whether both begin with the same adapter.
    pub fn starts_as(&self, other: &Run) -> bool {
        std::ptr::eq(self.scheme, other.scheme)
            && self.chosen == other.chosen
            && self.seed == other.seed
            && self.settings.scale == other.settings.scale
            && (self.learning_rate == other.learning_rate || !matches!(self.scheme.rule, Rule::Preheat { .. }))
    }
}

/// Why a cohort can't begin.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CohortError {
    /// Data that do not fit.
    #[error(transparent)]
    Data(#[from] loralab_data::Error),
    /// A start that is impossible.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// What a step says of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct StepOutcome {
    /// The learning rate that was used.
    pub learning_rate: f64,
    /// Loss, gradient norm, divergence.
    pub report: StepReport,
}

/// How well a run does on the held-out data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Validation {
    /// Mean loss over the counted positions.
    pub loss: f64,
    /// Fraction of the examples that greedy decoding reproduces exactly; of a text, fraction of the tokens that were the likeliest.
    pub accuracy: Option<f64>,
}

/// K runs on a device.
pub struct Cohort<'a> {
    runs: Vec<Run>,
    plan: Arc<Plan>,
    device: Box<dyn Device>,
    samplers: BTreeMap<u64, Sampler<'a>>,
    /// Passes whose gradients are added up for one step.
    passes: usize,
    /// How each run began; alike runs share it.
    initial: Vec<Arc<Initial>>,
    step: usize,
    /// Learning rates of the steps whose outcomes nobody has asked for yet.
    learning_rates: VecDeque<Vec<f64>>,
}

impl<'a> Cohort<'a> {
    /// Puts every run at its start on a device that was made for `plan` over `base`.
    ///
    /// # Errors
    /// If the data do not fit the plan's sequences, or a layer can't start by its run's scheme, because that has to see data for one.
    pub fn new(
        runs: Vec<Run>,
        plan: Arc<Plan>,
        base: &[Tensor],
        device: Box<dyn Device>,
        train: &'a Dataset,
    ) -> Result<Self, CohortError> {
        let mut initial: Vec<Arc<Initial>> = Vec::with_capacity(runs.len());
        for (index, run) in runs.iter().enumerate() {
            // A start can cost more than many steps, so runs that differ in their rates only get it from one computation.
            let known = runs[..index].iter().position(|other| run.starts_as(other));
            initial.push(match known {
                Some(known) => initial[known].clone(),
                None => Arc::new(start(&plan, base, run)?),
            });
        }
        Ok(Self::begin(runs, initial, plan, device, train, 1)?)
    }

    /// Puts every run at the start that is given for it. A step adds up the gradients of so many `passes` over B sequences each, and is that of their
    /// batch as a whole: the mean is taken over all tokens that count.
    ///
    /// # Errors
    /// If the data do not fit the plan's sequences.
    pub fn begin(
        runs: Vec<Run>,
        initial: Vec<Arc<Initial>>,
        plan: Arc<Plan>,
        mut device: Box<dyn Device>,
        train: &'a Dataset,
        passes: usize,
    ) -> Result<Self, loralab_data::Error> {
        let shape = plan.shape;
        let mut samplers = BTreeMap::new();
        for run in &runs {
            samplers
                .insert(run.seed, Sampler::new(train, run.seed, passes.saturating_mul(shape.sequences), shape.tokens)?);
        }
        for (index, (run, initial)) in runs.iter().zip(&initial).enumerate() {
            initial.put(&mut *device, index, run.settings);
        }
        Ok(Cohort { runs, plan, device, samplers, passes, initial, step: 0, learning_rates: VecDeque::new() })
    }

    /// Hands one step of every run that is alive to the device; `factor` is the schedule's share of the peak learning rate.
    pub fn step(&mut self, factor: f64) {
        self.step_each(|_| factor);
    }

    /// The same where each run has a schedule of its own.
    pub fn step_each(&mut self, factor: impl Fn(&Run) -> f64) {
        let step = self.step as u64;
        self.step += 1;
        let batches: BTreeMap<u64, Batch> =
            self.samplers.iter_mut().map(|(&seed, sampler)| (seed, sampler.batch(step))).collect();
        let rows = self.plan.shape.rows_per_run();
        for pass in 0..self.passes {
            let part = |run: &Run| part(&batches[&run.seed], pass * rows..(pass + 1) * rows);
            self.device.accumulate(&self.runs.iter().map(part).collect::<Vec<_>>());
        }
        let learning_rates: Vec<f64> = self.runs.iter().map(|run| run.learning_rate * factor(run)).collect();
        self.device.update(&learning_rates);
        self.learning_rates.push_back(learning_rates);
    }

    /// Whether as many steps were handed over as the device wants at once.
    pub fn is_busy(&self) -> bool {
        self.learning_rates.len() >= self.device.steps_ahead()
    }

    /// What the steps said that were handed over since this was last asked, one entry a step; none for a run that took no part.
    ///
    /// # Errors
    /// If the device fails.
    pub async fn outcomes(&mut self) -> Result<Vec<Vec<Option<StepOutcome>>>, DeviceError> {
        let outcome = |(report, learning_rate): (Option<StepReport>, f64)| {
            report.map(|report| StepOutcome { learning_rate, report })
        };
        let reports = self.device.reports().await?;
        let steps = reports.into_iter().zip(self.learning_rates.drain(..));
        Ok(steps.map(|(reports, rates)| reports.into_iter().zip(rates).map(outcome).collect()).collect())
    }

    /// How well every run that is alive does on `batches`, as [`loralab_data::validation`] gives them.
    ///
    /// # Errors
    /// If the device fails.
    pub async fn validate(&mut self, batches: &[Batch]) -> Result<Vec<Option<Validation>>, DeviceError> {
        validate(&mut *self.device, self.runs.len(), batches).await
    }

    /// Steps that were handed over.
    pub fn steps_done(&self) -> usize {
        self.step
    }

    /// The next step is the one after so many.
    pub(super) fn go_on_after(&mut self, step: usize) {
        self.step = step;
    }

    /// How a run began.
    pub fn initial(&self, run: usize) -> &Arc<Initial> {
        &self.initial[run]
    }

    /// How the runs began, in order.
    pub fn initials(&self) -> &[Arc<Initial>] {
        &self.initial
    }

    /// The runs, in order.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The device.
    pub fn device(&mut self) -> &mut dyn Device {
        &mut *self.device
    }
}

/// Some rows of a batch, with the weights that they have in it.
fn part(batch: &Batch, rows: Range<usize>) -> Inputs<'_> {
    Inputs::new()
        .with(InputName::Tokens, &batch.tokens[rows.clone()])
        .with(InputName::Targets, &batch.targets[rows.clone()])
        .with(InputName::Weights, &batch.weights[rows])
}

/// How well each of a device's runs that is alive does on `batches`, as [`loralab_data::validation`] gives them.
///
/// # Errors
/// If the device fails.
pub async fn validate(
    device: &mut dyn Device,
    runs: usize,
    batches: &[Batch],
) -> Result<Vec<Option<Validation>>, DeviceError> {
    let mut totals: Vec<Option<Total>> = vec![Some(Total::default()); runs];
    let inputs: Vec<Vec<Inputs<'_>>> = batches.iter().map(|batch| vec![Inputs::from(batch); runs]).collect();
    for (batch, evaluations) in batches.iter().zip(device.evaluate(&inputs).await?) {
        for (total, evaluation) in totals.iter_mut().zip(evaluations) {
            *total = total.zip(evaluation).map(|(total, evaluation)| total.plus(batch, &evaluation));
        }
    }
    Ok(totals.into_iter().map(|total| total.map(Total::mean)).collect())
}

#[derive(Clone, Copy, Default)]
struct Total {
    loss: f64,
    counted: usize,
    right: usize,
    matches: ExactMatches,
}

impl Total {
    fn plus(mut self, batch: &Batch, evaluation: &Evaluation) -> Total {
        self.loss += evaluation.loss * batch.counted as f64;
        self.counted += batch.counted;
        let rows = batch.weights.iter().zip(&evaluation.correct);
        self.right += rows.filter(|(weight, correct)| **weight != 0.0 && **correct == 1.0).count();
        self.matches += batch.exact_matches(&evaluation.correct);
        self
    }

    fn mean(self) -> Validation {
        let counted = self.counted as f64;
        Validation {
            loss: self.loss / counted,
            accuracy: self.matches.fraction().or(Some(self.right as f64 / counted)),
        }
    }
}
