//! A cohort: K adapters trained in one pass over one frozen base.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use loralab_data::{Batch, Confusion, Correlation, Dataset, ExactMatches, Sampler};

use super::{
    initial::{Initial, start},
    rows_of,
};
use crate::{
    device::{Device, DeviceError, Evaluation, Inputs, RunSettings, StepReport},
    graph::{
        memory::{InputName, Tensor},
        ops::dropout::noise,
        plan::Plan,
    },
    lora::init::{Chosen, Rule, Scheme, StartError},
};

/// One run of a cohort: the settings that differ between runs.
#[derive(Clone, Debug)]
pub struct Run {
    /// The initialisation scheme.
    pub scheme: &'static Scheme,
    /// The scheme's options that differ from their defaults.
    pub chosen: Chosen,
    /// The seed of the adapter's draw and of the data order.
    pub seed: u64,
    /// The peak learning rate.
    pub learning_rate: f64,
    /// Scale, weight decay, clipping.
    pub settings: RunSettings,
}

impl Run {
    /// True if both runs have the same starting adapter.
    pub fn starts_as(&self, other: &Run) -> bool {
        std::ptr::eq(self.scheme, other.scheme)
            && self.chosen == other.chosen
            && self.seed == other.seed
            && self.settings.scale == other.settings.scale
            && (self.learning_rate == other.learning_rate || !matches!(self.scheme.rule, Rule::Preheat { .. }))
    }
}

/// The reasons that a cohort can't start.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CohortError {
    /// The data do not fit the sequences.
    #[error(transparent)]
    Data(#[from] loralab_data::Error),
    /// A scheme can't start this adapter.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// The outcome of a step for one run.
#[derive(Clone, Debug, PartialEq)]
pub struct StepOutcome {
    /// The learning rate of the step.
    pub learning_rate: f64,
    /// Loss, gradient norm, divergence.
    pub report: StepReport,
}

/// The validation of a run on the held-out data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Validation {
    /// Mean loss over the counted positions.
    pub loss: f64,
    /// The fraction of examples that greedy decoding reproduces exactly, or of texts whose class is right; for a text, the fraction of tokens that were the
    /// likeliest. None for scores.
    pub accuracy: Option<f64>,
    /// The fraction of counted tokens that were the likeliest, after the true ones before them.
    pub token_accuracy: f64,
    /// The counts of right and wrong answers, if there are two classes.
    pub confusion: Option<Confusion>,
    /// The correlations of the scores given with those wanted, if there are scores.
    pub correlation: Option<Correlation>,
}

/// K runs on one device.
pub struct Cohort<'a> {
    runs: Vec<Run>,
    plan: Arc<Plan>,
    device: Box<dyn Device>,
    samplers: BTreeMap<u64, Sampler<'a>>,
    /// Passes whose gradients are added up for one step.
    passes: usize,
    /// The initial values of each run; runs with equal starts share them.
    initial: Vec<Arc<Initial>>,
    step: usize,
    /// The learning rates of steps whose outcomes were not read yet.
    learning_rates: VecDeque<Vec<f64>>,
}

impl<'a> Cohort<'a> {
    /// Loads the start of every run into a device that was made for `plan` over `base`.
    ///
    /// # Errors
    /// If the data do not fit the plan's sequences, or a run's scheme needs data to start a layer.
    pub fn new(
        runs: Vec<Run>,
        plan: Arc<Plan>,
        base: &[Tensor],
        device: Box<dyn Device>,
        train: &'a Dataset,
    ) -> Result<Self, CohortError> {
        let mut initial: Vec<Arc<Initial>> = Vec::with_capacity(runs.len());
        for (index, run) in runs.iter().enumerate() {
            // A start can cost more than many steps, so runs that differ only in their learning rates share one.
            let known = runs[..index].iter().position(|other| run.starts_as(other));
            initial.push(match known {
                Some(known) => initial[known].clone(),
                None => Arc::new(start(&plan, base, run)?),
            });
        }
        Ok(Self::begin(runs, initial, plan, device, train, 1)?)
    }

    /// Loads the given start of every run. A step adds up the gradients of `passes` passes over B sequences each. The result is the gradient of the batch as a
    /// whole: the mean is taken over all tokens that count.
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

    /// Queues one step of every run that is alive on the device; `factor` is the schedule's share of the peak learning rate.
    pub fn step(&mut self, factor: f64) {
        self.step_each(|_| factor);
    }

    /// Queues one step, with a schedule for each run.
    pub fn step_each(&mut self, factor: impl Fn(&Run) -> f64) {
        let step = self.step as u64;
        self.step += 1;
        let batches: BTreeMap<u64, Batch> =
            self.samplers.iter_mut().map(|(&seed, sampler)| (seed, sampler.batch(step))).collect();
        let rows = self.plan.shape.rows_per_run();
        for pass in 0..self.passes {
            let rows = pass * rows..(pass + 1) * rows;
            let drops = self.plan.input(InputName::Noise).is_some();
            let noises: BTreeMap<u64, Vec<u32>> =
                batches.keys().filter(|_| drops).map(|&seed| (seed, noise(seed, step, rows.clone()))).collect();
            let part = |run: &Run| {
                let part = rows_of(&batches[&run.seed], rows.clone());
                noises.get(&run.seed).map_or(part, |noise| part.with(InputName::Noise, noise))
            };
            self.device.accumulate(&self.runs.iter().map(part).collect::<Vec<_>>());
        }
        let learning_rates: Vec<f64> = self.runs.iter().map(|run| run.learning_rate * factor(run)).collect();
        self.device.update(&learning_rates);
        self.learning_rates.push_back(learning_rates);
    }

    /// True if the device's queue of steps is full, so that its reports should be read before another step.
    pub fn is_busy(&self) -> bool {
        self.learning_rates.len() >= self.device.steps_ahead()
    }

    /// The outcomes of the steps queued since the last call, one entry per step; none for a run that took no part.
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

    /// The validation of every run that is alive on `batches`, as [`loralab_data::validation`] gives them.
    ///
    /// # Errors
    /// If the device fails.
    pub async fn validate(&mut self, batches: &[Batch]) -> Result<Vec<Option<Validation>>, DeviceError> {
        validate(&mut *self.device, self.runs.len(), batches).await
    }

    /// The number of steps queued so far.
    pub fn steps_done(&self) -> usize {
        self.step
    }

    /// Sets the number of steps done.
    pub(super) fn go_on_after(&mut self, step: usize) {
        self.step = step;
    }

    /// The initial values of a run.
    pub fn initial(&self, run: usize) -> &Arc<Initial> {
        &self.initial[run]
    }

    /// The initial values of all runs, in order.
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

    /// The runs and their initial values, without the device, whose memory is freed.
    pub fn into_runs(self) -> (Vec<Run>, Vec<Arc<Initial>>) {
        (self.runs, self.initial)
    }

    /// The device.
    pub fn device(&mut self) -> &mut dyn Device {
        &mut *self.device
    }
}

/// The validation of each of a device's runs that is alive on `batches`, as [`loralab_data::validation`] gives them.
///
/// # Errors
/// If the device fails.
pub async fn validate(
    device: &mut dyn Device,
    runs: usize,
    batches: &[Batch],
) -> Result<Vec<Option<Validation>>, DeviceError> {
    validate_in_groups(device, runs, batches, batches.len(), |_| {}).await
}

/// Like [`validate`], so many batches at a time; `on_group` gets the number of batches that are done.
///
/// # Errors
/// If the device fails.
pub async fn validate_in_groups(
    device: &mut dyn Device,
    runs: usize,
    batches: &[Batch],
    at_a_time: usize,
    mut on_group: impl FnMut(usize),
) -> Result<Vec<Option<Validation>>, DeviceError> {
    let mut totals: Vec<Option<Total>> = vec![Some(Total::default()); runs];
    let mut done = 0;
    for group in batches.chunks(at_a_time.max(1)) {
        let inputs: Vec<Vec<Inputs<'_>>> = group.iter().map(|batch| vec![Inputs::from(batch); runs]).collect();
        for (batch, evaluations) in group.iter().zip(device.evaluate(&inputs).await?) {
            for (total, evaluation) in totals.iter_mut().zip(evaluations) {
                *total = total.take().zip(evaluation).map(|(total, evaluation)| total.plus(batch, &evaluation));
            }
        }
        done += group.len();
        on_group(done);
    }
    Ok(totals.into_iter().map(|total| total.map(Total::mean)).collect())
}

#[derive(Clone, Default)]
struct Total {
    loss: f64,
    counted: usize,
    right: usize,
    /// True if some rows have a right answer.
    answers: bool,
    matches: ExactMatches,
    confusion: Option<Confusion>,
    /// Scores given and wanted.
    scores: Vec<(f32, f32)>,
}

impl Total {
    fn plus(mut self, batch: &Batch, evaluation: &Evaluation) -> Total {
        self.loss += evaluation.loss * batch.counted as f64;
        self.counted += batch.counted;
        // A model that gives scores has no right answers.
        if evaluation.answers.is_empty() || !batch.expected.is_empty() {
            self.scores.extend(batch.scores(&evaluation.answers));
            return self;
        }
        self.answers = true;
        let rows = batch.weights.iter().zip(&evaluation.answers);
        self.right += rows.filter(|(weight, correct)| **weight != 0.0 && **correct == 1.0).count();
        self.matches += batch.exact_matches(&evaluation.answers);
        if let Some(table) = batch.confusion(&evaluation.answers) {
            *self.confusion.get_or_insert_default() += table;
        }
        self
    }

    fn mean(self) -> Validation {
        let counted = self.counted as f64;
        let token_accuracy = self.right as f64 / counted;
        Validation {
            loss: self.loss / counted,
            accuracy: self.matches.fraction().or_else(|| self.answers.then_some(token_accuracy)),
            token_accuracy,
            confusion: self.confusion,
            correlation: (!self.scores.is_empty()).then(|| Correlation::of(&self.scores)),
        }
    }
}
