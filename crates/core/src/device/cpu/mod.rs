//! The CPU device: replays a plan run by run and micro-batch by micro-batch.
//!
//! A run's rows are split into *micro-batches* of whole sequences, at least [`MICRO_BATCH_ROWS`] rows each. One worker computes the whole forward and backward
//! pass of a micro-batch, so activations stay in its cache and no worker waits within a pass; the micro-batches' gradients are then added in order and the
//! run is updated. Split and order depend only on the shape of one run, hence a run's bits depend neither on its cohort nor on the threads.

mod needs;
mod replay;
mod state;
mod update;

use std::sync::Arc;

use loralab_cpu::{Scalar, finite};
use replay::{Extent, Partial, Passes, Pool};
use update::update;

use super::{Answer, Device, Evaluation, Inputs, Probe, RunSettings, RunState, StepReport, workers::Workers};
use crate::graph::{
    memory::{Buffer, Tensor, Type},
    ops::{Dispatch, Op},
    plan::Plan,
};

/// Minimum rows of a micro-batch, unless the run has fewer: enough for full matrix-product speed, few enough to stay in cache.
const MICRO_BATCH_ROWS: usize = 128;

/// The CPU device, which computes in the scalar `S`.
pub struct Cpu<S> {
    plan: Arc<Plan>,
    base: Arc<[Tensor]>,
    tables: Vec<Vec<S>>,
    passes: Passes<S>,
    /// Those of the plan's prefill.
    prefill: Option<Passes<S>>,
    runs: Vec<Run<S>>,
    workers: Workers,
    workspaces: Pool<Vec<Partial<S>>>,
    /// Reports that were not yet read.
    reports: Vec<Vec<Option<StepReport>>>,
}

/// Settings and state of a run.
struct Run<S> {
    settings: RunSettings,
    trained: Vec<S>,
    frozen_pairs: Vec<S>,
    first_moment: Vec<S>,
    second_moment: Vec<S>,
    steps: u64,
    diverged: bool,
    /// Number of passes since the last update, and the sums of their losses and of their gradients.
    passes: usize,
    loss: S,
    gradients: Vec<S>,
    /// The values that the plan keeps between calls; they are made when they are first needed.
    caches: Pool<Vec<Vec<S>>>,
}

impl<S: Scalar> Cpu<S> {
    /// Allocates the memory of the plan's K runs; `threads` is `None` for as many as the machine offers.
    pub fn new(plan: Arc<Plan>, base: Arc<[Tensor]>, threads: Option<usize>) -> Cpu<S> {
        let tables = plan.tables.iter().map(|table| table.iter().map(|&x| S::from_f64(x)).collect()).collect();
        let (elements, moments) = (plan.trained_len(), moments(&plan));
        let run = |_| Run {
            settings: RunSettings::PLAIN,
            gradients: vec![S::ZERO; if plan.updates.is_empty() { 0 } else { elements }],
            trained: vec![S::ZERO; elements],
            frozen_pairs: vec![],
            first_moment: vec![S::ZERO; moments[0]],
            second_moment: vec![S::ZERO; moments[1]],
            steps: 0,
            diverged: false,
            passes: 0,
            loss: S::ZERO,
            caches: Pool::default(),
        };
        Cpu {
            runs: (0..plan.shape.runs).map(run).collect(),
            passes: Passes::new(plan.clone()),
            prefill: plan.prefill.clone().map(Passes::new),
            tables,
            plan,
            base,
            workers: Workers::new(threads),
            workspaces: Pool::default(),
            reports: vec![],
        }
    }

    /// Loss and gradient of one run, in the order of the plan's parameters, without a step; for tests and probes.
    pub fn gradient(&self, run: usize, inputs: Inputs<'_>) -> (S, Vec<S>) {
        let mut micro_batches = self.workspace();
        self.replay(&self.runs[run], inputs, &mut micro_batches, Extent::Gradient);
        let loss = total_loss(&micro_batches);
        let gradient = sum_gradients(&mut micro_batches).to_vec();
        self.workspaces.put(micro_batches);
        (loss, gradient)
    }

    /// Loss of one run in the device's own scalar, without a step; for tests and probes.
    pub fn loss(&self, run: usize, inputs: Inputs<'_>) -> S {
        let mut micro_batches = self.workspace();
        self.replay(&self.runs[run], inputs, &mut micro_batches, Extent::Forward);
        let loss = total_loss(&micro_batches);
        self.workspaces.put(micro_batches);
        loss
    }

    /// The update of a run from a given loss and gradient; for tests and probes.
    pub fn apply(&mut self, run: usize, loss: S, gradients: &mut [S], learning_rate: f64) -> StepReport {
        update(&mut self.runs[run], &self.plan, loss, gradients, learning_rate)
    }

    /// A run's trained tensors, in the device's own scalar.
    pub fn trained_scalars(&self, run: usize) -> &[S] {
        &self.runs[run].trained
    }

    /// Replaces a run's trained tensors, in the device's own scalar.
    pub fn set_trained(&mut self, run: usize, trained: &[S]) {
        self.runs[run].trained.copy_from_slice(trained);
    }

    fn workspace(&self) -> Vec<Partial<S>> {
        self.workspaces.take().unwrap_or_else(|| vec![Partial::default(); self.passes.micro_batches])
    }

    /// Computes the gradient of one run on the caller's thread, micro-batch by micro-batch. `around` gets each dispatch and the function that runs it, so that it
    /// can measure the time.
    pub fn observe(&self, run: usize, inputs: Inputs<'_>, mut around: impl FnMut(&Dispatch, &mut dyn FnMut())) {
        let mut micro_batches = self.workspace();
        for (index, partial) in micro_batches.iter_mut().enumerate() {
            self.replay_micro_batch(
                &self.passes,
                &self.runs[run],
                inputs,
                index,
                partial,
                Extent::Gradient,
                |dispatch, micro_batch| {
                    around(dispatch, &mut || Op::run(dispatch, micro_batch));
                },
            );
        }
        self.workspaces.put(micro_batches);
    }

    /// The label of the first dispatch of a run's forward pass whose results are not finite within the first `rows` rows; for a plan of one micro-batch.
    pub fn first_not_finite(&self, run: usize, inputs: Inputs<'_>, rows: usize) -> Option<String> {
        let mut micro_batches = self.workspace();
        let mut found = None;
        self.replay_micro_batch(
            &self.passes,
            &self.runs[run],
            inputs,
            0,
            &mut micro_batches[0],
            Extent::Forward,
            |dispatch, micro_batch| {
                Op::run(dispatch, micro_batch);
                let mut written = dispatch.operands().skip(dispatch.reads.len());
                let is_finite = |(buffer, kind): (Buffer, Type)| {
                    let values = micro_batch.values.read(buffer, kind.columns);
                    finite::first_non_finite(&values[..values.len().min(rows * kind.columns)]).is_none()
                };
                if found.is_none() && !written.all(is_finite) {
                    found = Some(dispatch.label.clone());
                }
            },
        );
        self.workspaces.put(micro_batches);
        found
    }

    /// Computes the passes of all micro-batches of a run.
    fn replay(&self, run: &Run<S>, inputs: Inputs<'_>, micro_batches: &mut [Partial<S>], extent: Extent) {
        self.workers.for_each(micro_batches, |index, partial| {
            self.replay_micro_batch(&self.passes, run, inputs, index, partial, extent, Op::run);
        });
    }

    /// Calls `work` for each run with its inputs.
    fn each_run<R: Send>(&self, inputs: &[Inputs<'_>], work: impl Fn(&Run<S>, Inputs<'_>) -> R + Sync) -> Vec<R> {
        if let ([run], [input]) = (&self.runs[..], inputs) {
            // The result is then allocated on the caller's thread, so the allocator can reuse its memory for the next call.
            return vec![work(run, *input)];
        }
        let mut results: Vec<Option<R>> = self.runs.iter().map(|_| None).collect();
        self.workers.for_each(&mut results, |index, result| *result = Some(work(&self.runs[index], inputs[index])));
        results.into_iter().flatten().collect()
    }
}

impl<S: Scalar> Cpu<S> {
    /// Sets a run to its start, as [`Device::load`] does.
    pub fn load(&mut self, run: usize, trained: &[f32], frozen_pairs: &[f32], settings: RunSettings) {
        let run = &mut self.runs[run];
        assert_eq!(trained.len(), run.trained.len(), "a start must fill the plan's parameters");
        for (to, from) in [(&mut run.trained, trained), (&mut run.frozen_pairs, frozen_pairs)] {
            to.clear();
            to.extend(from.iter().map(|&x| S::from_f32(x)));
        }
        run.first_moment.fill(S::ZERO);
        run.second_moment.fill(S::ZERO);
        (run.settings, run.steps, run.diverged, run.passes) = (settings, 0, false, 0);
    }

    /// Adds the loss and the gradient of these rows to those of every run that has not diverged.
    pub fn accumulate(&mut self, inputs: &[Inputs<'_>]) {
        let mut runs = std::mem::take(&mut self.runs);
        self.workers.for_each(&mut runs, |index, run| {
            if !run.diverged {
                let mut micro_batches = self.workspace();
                self.replay(run, inputs[index], &mut micro_batches, Extent::Gradient);
                let loss = total_loss(&micro_batches);
                sum_gradients(&mut micro_batches);
                if run.passes == 0 {
                    run.loss = loss;
                    std::mem::swap(&mut run.gradients, &mut micro_batches[0].gradients);
                } else {
                    run.loss += loss;
                    add(&micro_batches[0].gradients, &mut run.gradients);
                }
                run.passes += 1;
                self.workspaces.put(micro_batches);
            }
        });
        self.runs = runs;
    }

    /// The update that follows a complete gradient, for every run that has not diverged; the report of the others is `None`.
    pub fn update(&mut self, learning_rates: &[f64]) -> Vec<Option<StepReport>> {
        let mut tasks: Vec<(&mut Run<S>, Option<StepReport>)> = self.runs.iter_mut().map(|run| (run, None)).collect();
        self.workers.for_each(&mut tasks, |index, (run, report)| {
            if !run.diverged {
                let mut gradients = std::mem::take(&mut run.gradients);
                *report = Some(update(run, &self.plan, run.loss, &mut gradients, learning_rates[index]));
                (run.gradients, run.passes) = (gradients, 0);
            }
        });
        tasks.into_iter().map(|(_, report)| report).collect()
    }

    /// A step of one pass of every run that has not diverged; the report of the others is `None`.
    pub fn step(&mut self, inputs: &[Inputs<'_>], learning_rates: &[f64]) -> Vec<Option<StepReport>> {
        self.accumulate(inputs);
        self.update(learning_rates)
    }

    /// The evaluation of every run that has not diverged; `None` for the others.
    pub fn evaluate(&self, inputs: &[Inputs<'_>]) -> Vec<Option<Evaluation>> {
        self.each_run(inputs, |run, input| {
            (!run.diverged).then(|| {
                let mut micro_batches = self.workspace();
                self.replay(run, input, &mut micro_batches, Extent::Forward);
                let loss = total_loss(&micro_batches).to_f64();
                let answers = joined(&micro_batches, |micro_batch| &micro_batch.answers);
                self.workspaces.put(micro_batches);
                Evaluation { loss, answers }
            })
        })
    }

    /// Each run's model output, (B·T, columns); for plans compiled to predict.
    pub fn predict(&self, inputs: &[Inputs<'_>]) -> Vec<Vec<f32>> {
        self.each_run(inputs, |run, input| {
            let mut micro_batches = self.workspace();
            self.replay(run, input, &mut micro_batches, Extent::Forward);
            let prediction = joined(&micro_batches, |micro_batch| &micro_batch.prediction);
            self.workspaces.put(micro_batches);
            prediction
        })
    }

    /// Reads rows into each run's caches, as [`Device::prefill`] does.
    pub fn prefill(&self, inputs: &[Inputs<'_>]) {
        let Some(passes) = &self.prefill else { return };
        self.each_run(inputs, |run, input| {
            self.workers.for_each(&mut [Partial::default()], |index, partial| {
                self.replay_micro_batch(passes, run, input, index, partial, Extent::Forward, Op::run);
            });
        });
    }

    /// The result of a pass over these rows for each run, without a step, as [`Device::probe`] does.
    pub fn probe(&self, inputs: &[Inputs<'_>]) -> Vec<Probe> {
        self.each_run(inputs, |run, input| {
            let mut micro_batches = self.workspace();
            self.replay(run, input, &mut micro_batches, Extent::Probe);
            let observed = |index: usize| joined(&micro_batches, |micro_batch| &micro_batch.observed[index]);
            let mut probe = Probe {
                loss: total_loss(&micro_batches).to_f64(),
                observed: (0..self.plan.observed.len()).map(observed).collect(),
                prediction: joined(&micro_batches, |micro_batch| &micro_batch.prediction),
                gradient: vec![],
            };
            probe.gradient = sum_gradients(&mut micro_batches).iter().map(|x| x.to_f64() as f32).collect();
            self.workspaces.put(micro_batches);
            probe
        })
    }

    /// A run's trained tensors, flat.
    pub fn trained(&self, run: usize) -> Vec<f32> {
        self.runs[run].trained.iter().map(|x| x.to_f64() as f32).collect()
    }
}

/// The futures of a CPU are ready at once.
impl<S: Scalar> Device for Cpu<S> {
    fn load(&mut self, run: usize, trained: &[f32], frozen_pairs: &[f32], settings: RunSettings) {
        self.load(run, trained, frozen_pairs, settings);
    }

    fn accumulate(&mut self, inputs: &[Inputs<'_>]) {
        self.accumulate(inputs);
    }

    fn update(&mut self, learning_rates: &[f64]) {
        let reports = self.update(learning_rates);
        self.reports.push(reports);
    }

    fn reports(&mut self) -> Answer<'_, Vec<Vec<Option<StepReport>>>> {
        Box::pin(async { Ok(std::mem::take(&mut self.reports)) })
    }

    fn evaluate<'a>(&'a mut self, batches: &'a [Vec<Inputs<'a>>]) -> Answer<'a, Vec<Vec<Option<Evaluation>>>> {
        Box::pin(async move { Ok(batches.iter().map(|inputs| Cpu::evaluate(self, inputs)).collect()) })
    }

    fn predict<'a>(&'a mut self, inputs: &'a [Inputs<'a>]) -> Answer<'a, Vec<Vec<f32>>> {
        Box::pin(async move { Ok(Cpu::predict(self, inputs)) })
    }

    fn prefill(&mut self, inputs: &[Inputs<'_>]) {
        Cpu::prefill(self, inputs);
    }

    fn probe<'a>(&'a mut self, inputs: &'a [Inputs<'a>]) -> Answer<'a, Vec<Probe>> {
        Box::pin(async move { Ok(Cpu::probe(self, inputs)) })
    }

    fn trained(&mut self) -> Answer<'_, Vec<Vec<f32>>> {
        Box::pin(async { Ok((0..self.runs.len()).map(|run| Cpu::trained(self, run)).collect()) })
    }

    fn states(&mut self) -> Answer<'_, Vec<RunState>> {
        Box::pin(async { Ok(self.runs.iter().map(Run::state).collect()) })
    }

    fn restore(&mut self, states: &[RunState]) {
        for (run, state) in self.runs.iter_mut().zip(states) {
            run.restore(state);
        }
    }
}

/// Elements of the first and second moment that a plan's optimiser keeps.
fn moments(plan: &Plan) -> [usize; 2] {
    let moments = plan.moments();
    [1, 2].map(|moment| if moments >= moment { plan.trained_len() } else { 0 })
}

/// One result of all micro-batches, concatenated, in a list of exactly that capacity.
fn joined<S: Scalar>(micro_batches: &[Partial<S>], of: impl Fn(&Partial<S>) -> &Vec<S>) -> Vec<f32> {
    let mut whole = Vec::with_capacity(micro_batches.iter().map(|micro_batch| of(micro_batch).len()).sum());
    micro_batches.iter().for_each(|micro_batch| whole.extend(of(micro_batch).iter().map(|x| x.to_f64() as f32)));
    whole
}

fn total_loss<S: Scalar>(micro_batches: &[Partial<S>]) -> S {
    micro_batches
        .iter()
        .fold(S::ZERO, |sum, micro_batch| sum + micro_batch.loss.iter().fold(S::ZERO, |sum, &loss| sum + loss))
}

/// Adds the micro-batches' gradients, in order, into the first micro-batch's.
fn sum_gradients<S: Scalar>(micro_batches: &mut [Partial<S>]) -> &mut [S] {
    let (first, others) = micro_batches.split_at_mut(1);
    others.iter().for_each(|micro_batch| add(&micro_batch.gradients, &mut first[0].gradients));
    &mut first[0].gradients
}

fn add<S: Scalar>(gradients: &[S], sum: &mut [S]) {
    loralab_cpu::add::backward(gradients, sum, loralab_cpu::Store::Add);
}
