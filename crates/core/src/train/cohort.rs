//! A cohort: K adapters trained in one pass over one frozen base.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use loralab_data::{Batch, Dataset, ExactMatches, Sampler};
use loralab_linalg::{Mat, from_rows};

use crate::{
    device::{Device, DeviceError, Evaluation, Input, RunSettings, StepReport},
    init::{Layer, Scheme, StartError},
    memory::{Group, Tensor},
    plan::Plan,
};

/// One run of a cohort: what differs between runs.
#[derive(Clone, Debug)]
pub struct Run {
    /// How the adapter starts.
    pub scheme: &'static Scheme,
    /// Fixes the adapter's draw and the data order.
    pub seed: u64,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Scale, decay, clipping.
    pub settings: RunSettings,
}

impl Run {
    /// Whether both begin with the same adapter.
    fn starts_as(&self, other: &Run) -> bool {
        std::ptr::eq(self.scheme, other.scheme)
            && self.seed == other.seed
            && self.settings.scale == other.settings.scale
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
    /// Fraction of the examples that greedy decoding reproduces exactly; of a text, fraction of the bytes that were the likeliest.
    pub accuracy: Option<f64>,
}

/// K runs on a device.
pub struct Cohort<'a> {
    runs: Vec<Run>,
    plan: Arc<Plan>,
    device: Box<dyn Device>,
    samplers: BTreeMap<u64, Sampler<'a>>,
    /// What [`start`] gave each run to subtract; alike runs share it.
    frozen_pairs: Vec<Arc<[f32]>>,
    step: usize,
    /// Learning rates of the steps whose outcomes nobody has asked for yet.
    learning_rates: VecDeque<Vec<f64>>,
}

impl<'a> Cohort<'a> {
    /// Puts every run at its start on a device that was made for `plan` over `base`.
    ///
    /// # Errors
    /// If the data do not fit the plan's sequences, or a layer can't start by its run's scheme.
    pub fn new(
        runs: Vec<Run>,
        plan: Arc<Plan>,
        base: &[Tensor],
        mut device: Box<dyn Device>,
        train: &'a Dataset,
    ) -> Result<Self, CohortError> {
        let shape = plan.shape;
        let mut samplers = BTreeMap::new();
        for run in &runs {
            samplers.insert(run.seed, Sampler::new(train, run.seed, shape.sequences, shape.tokens)?);
        }
        let mut frozen_pairs: Vec<Option<Arc<[f32]>>> = vec![None; runs.len()];
        for first in 0..runs.len() {
            if frozen_pairs[first].is_some() {
                continue;
            }
            // A start can cost more than many steps, so runs that differ in their rates only get it from one computation.
            let (trained, frozen) = start(&plan, base, &runs[first])?;
            let frozen: Arc<[f32]> = frozen.into();
            for (index, run) in runs.iter().enumerate().skip(first).filter(|(_, run)| run.starts_as(&runs[first])) {
                device.load(index, &trained, &frozen, run.settings);
                frozen_pairs[index] = Some(frozen.clone());
            }
        }
        let frozen_pairs = frozen_pairs.into_iter().flatten().collect();
        Ok(Cohort { runs, plan, device, samplers, frozen_pairs, step: 0, learning_rates: VecDeque::new() })
    }

    /// Hands one step of every run that is alive to the device; `factor` is the schedule's share of the peak learning rate.
    pub fn step(&mut self, factor: f64) {
        let step = self.step as u64;
        self.step += 1;
        let batches: BTreeMap<u64, Batch> =
            self.samplers.iter_mut().map(|(&seed, sampler)| (seed, sampler.batch(step))).collect();
        let inputs: Vec<Input<'_>> = self.runs.iter().map(|run| Input::from(&batches[&run.seed])).collect();
        let learning_rates: Vec<f64> = self.runs.iter().map(|run| run.learning_rate * factor).collect();
        self.device.step(&inputs, &learning_rates);
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

    /// The frozen second pairs of a run, as [`start`] gives them.
    pub fn frozen_pairs(&self, run: usize) -> Arc<[f32]> {
        self.frozen_pairs[run].clone()
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
    let inputs: Vec<Vec<Input<'_>>> = batches.iter().map(|batch| vec![Input::from(batch); runs]).collect();
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

/// The start of a run over `base`: its adapters, and its frozen second pairs where the plan has them, flat in the order of the plan's parameters.
///
/// A scheme without a second pair gets pairs of zeros, which subtract exactly nothing.
///
/// # Errors
/// If the scheme can't start one of the layers.
pub fn start(plan: &Plan, base: &[Tensor], run: &Run) -> Result<(Vec<f32>, Vec<f32>), StartError> {
    let mut trained = Vec::with_capacity(plan.trained_len());
    let mut frozen_pairs = Vec::with_capacity(if plan.frozen_pairs { plan.trained_len() } else { 0 });
    for pair in plan.parameters.chunks_exact(2) {
        let [a, b] = [&pair[0], &pair[1]];
        debug_assert!(a.group == Group::A && b.group == Group::B, "adapters lie as pairs");
        let layer = Layer {
            name: a.name.trim_end_matches(".lora_A.weight"),
            inputs: a.shape[1],
            outputs: b.shape[0],
            rank: a.shape[0],
            scale: run.settings.scale as f32,
        };
        let start = run.scheme.start(&layer, || weight(base, &layer), run.seed)?;
        let len = start.a.len() + start.b.len();
        trained.extend(start.a.into_iter().chain(start.b));
        if plan.frozen_pairs {
            match start.frozen {
                Some((a, b)) => frozen_pairs.extend(a.into_iter().chain(b)),
                None => frozen_pairs.resize(frozen_pairs.len() + len, 0.0),
            }
        }
    }
    Ok((trained, frozen_pairs))
}

/// The frozen weight of a layer, (O, I), if the base has one.
fn weight(base: &[Tensor], layer: &Layer<'_>) -> Option<Mat<f64>> {
    let name = format!("{}.weight", layer.name);
    let tensor = base.iter().find(|tensor| tensor.name == name && tensor.shape == [layer.outputs, layer.inputs])?;
    Some(from_rows(&tensor.data.to_f32(), layer.outputs, layer.inputs))
}
