//! A sweep: a grid of cells, packed into cohorts, trained one cohort after the other.

use std::{future::Future, ops::ControlFlow, pin::Pin, sync::Arc};

use loralab_data::{Batch, Sampler, Split};
use loralab_experiment::{
    Bytes, Cell, Diagnosis, Diverged, Evaluation, Event, PackError, Resolved, RunResult, StartCost,
};

use super::{
    diagnose::{Probes, Seen},
    room::Room,
    snapshot::Snapshot,
    translate::{adapters, calibration, export, optimizer, record, run_of},
};
use crate::{
    adapter::Adapter,
    calibrate::{Begun, CalibrationError},
    device::{DeviceError, MakeDevice},
    init::{self, StartError},
    memory::Tensor,
    model::Base,
    plan::{Plan, Shape},
    tape::Purpose,
    train::{Cohort, Run, StateError, StepOutcome, Validation, validate},
};

/// What an observer lets a sweep wait for.
pub type Turn<'a> = Pin<Box<dyn Future<Output = ControlFlow<()>> + 'a>>;

/// What an observer lets a sweep wait for without a word on how to go on.
pub type Listening<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Who watches a sweep.
pub trait Observer {
    /// Seconds since some moment of its own.
    fn seconds(&self) -> f64;

    /// Something happened; the answer says whether to go on. After a break, the cohort's runs are reported as they stand.
    fn event(&mut self, event: Event) -> ControlFlow<()>;

    /// A run ended without diverging; this is its adapter. What the runs of a cohort came to is told before, since it must not be lost with an adapter.
    fn adapter(&mut self, cell: &Cell, adapter: Adapter) -> ControlFlow<()>;

    /// Waited for before every step, and before whether a snapshot is wanted: whoever shares a thread with the sweep, as a page's worker does, hears
    /// here what is asked of it.
    fn listen(&mut self) -> Listening<'_> {
        Box::pin(std::future::ready(()))
    }

    /// Asked before every step: whether to be handed a [`Snapshot`] now. What was told until then is what it stands after.
    fn wants_snapshot(&self) -> bool {
        false
    }

    /// The sweep as it stands, to go on from with [`Sweep::go_on`].
    fn snapshot(&mut self, _: Snapshot) {}

    /// Waited for before every step, which it can hold up; a break ends the sweep.
    fn turn(&mut self) -> Turn<'_> {
        Box::pin(std::future::ready(ControlFlow::Continue(())))
    }
}

/// Why a sweep can't begin.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// A scheme that does not exist.
    #[error(transparent)]
    Scheme(#[from] init::UnknownScheme),
    /// An option of a scheme that can't be chosen so.
    #[error(transparent)]
    Option(#[from] init::ChoiceError),
    /// Data that do not fit.
    #[error(transparent)]
    Data(#[from] loralab_data::Error),
    /// A start that is impossible.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Memory that does not suffice.
    #[error(transparent)]
    Memory(#[from] PackError),
    /// Memory that does not suffice for what comes before the training.
    #[error(
        "{phase} needs {}, but only {} may be used. Lower `batch_size`, `tokens` or `rank`, take another start or a smaller base, or raise `memory`.",
        Bytes(*.needed), Bytes(*.available)
    )]
    StartMemory {
        /// What comes before.
        phase: String,
        /// Bytes that it needs.
        needed: u64,
        /// Bytes there are.
        available: u64,
    },
    /// A device that fails.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A snapshot of something else.
    #[error(transparent)]
    State(#[from] StateError),
}

impl From<CalibrationError> for SweepError {
    fn from(error: CalibrationError) -> Self {
        match error {
            CalibrationError::Data(error) => error.into(),
            CalibrationError::Start(error) => error.into(),
            CalibrationError::Device(error) => error.into(),
        }
    }
}

/// An experiment with everything it names at hand.
pub struct Sweep<'a> {
    pub(super) base: &'a Base,
    base_name: String,
    pub(super) experiment: &'a Resolved,
    pub(super) data: &'a Split,
    pub(super) validation: Vec<Batch>,
    probe: Batch,
}

impl<'a> Sweep<'a> {
    /// Puts an experiment together with its base and data; `base_name` is what exported adapters say they belong to.
    ///
    /// # Errors
    /// If the data do not fit the sequences.
    pub fn new(base: &'a Base, base_name: &str, experiment: &'a Resolved, data: &'a Split) -> Result<Self, SweepError> {
        let Resolved { batch_size, tokens, validation_examples, .. } = *experiment;
        let validation = loralab_data::validation(&data.validation, batch_size, tokens, validation_examples)?;
        let probe = loralab_data::validation(&data.validation, 1, tokens, 1)?.remove(0);
        Ok(Sweep { base, base_name: base_name.to_owned(), experiment, data, validation, probe })
    }

    /// How well the base alone does on the held-out data.
    ///
    /// # Errors
    /// If the device fails.
    pub async fn base(&self, make_device: MakeDevice<'_>) -> Result<Option<Validation>, SweepError> {
        let Resolved { batch_size: sequences, tokens, .. } = *self.experiment;
        let plan = record(self.base, self.experiment, Shape { runs: 1, sequences, tokens }, Room::default())
            .compile(Purpose::Predict);
        let mut device = make_device(Arc::new(plan), self.base.tensors.clone()).await?;
        Ok(validate(&mut *device, 1, &self.validation).await?[0])
    }

    /// Trains the cohorts and tells the observer; returns what every run that was begun came to. A run that can't start is one that failed.
    ///
    /// # Errors
    /// If a scheme is unknown, the data do not fit, or the device fails.
    pub async fn run(
        &self,
        cohorts: &[Vec<Cell>],
        make_device: MakeDevice<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Vec<RunResult>, SweepError> {
        self.go_on(cohorts, None, make_device, observer).await
    }

    /// The same from a snapshot of a sweep of the same experiment on: what it still tells are the words that an uninterrupted one would, from there.
    ///
    /// # Errors
    /// Also if the snapshot is of another experiment.
    pub async fn go_on(
        &self,
        cohorts: &[Vec<Cell>],
        from: Option<&Snapshot>,
        make_device: MakeDevice<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Vec<RunResult>, SweepError> {
        let mut results = from.map_or_else(Vec::new, |from| from.results.clone());
        for (index, cells) in cohorts.iter().enumerate().skip(from.map_or(0, |from| from.cohort)) {
            let started = observer.seconds();
            let from = from.filter(|from| from.cohort == index);
            let event = Event::CohortStarted { cohort: index, cohorts: cohorts.len(), cells: cells.clone() };
            let mut flow = if from.is_none() { observer.event(event) } else { ControlFlow::Continue(()) };
            let runs = cells.iter().map(|cell| self.start(cell)).collect::<Result<Vec<_>, SweepError>>()?;
            let room = Room::of(self.experiment, cells);
            let whole = self.plan(runs.len(), room);
            let (starts, event) = self.initial(&runs, &whole, make_device, observer).await?;
            if let (Some(event), None) = (event, from) {
                flow = both(flow, observer.event(event));
            }
            // A run that can't start ends here, and the others train without it.
            let (mut cells, mut runs, mut initial) = (cells.clone(), runs, Vec::with_capacity(starts.len()));
            let mut costs = Vec::with_capacity(starts.len());
            for start in starts {
                match start {
                    Ok(start) => {
                        initial.push(start.initial.clone());
                        costs.push(StartCost::of(start.tokens, self.experiment.batch_size * self.experiment.tokens));
                    }
                    Err(reason) => {
                        let cell = cells.remove(initial.len());
                        runs.remove(initial.len());
                        if from.is_none() {
                            let result = RunResult { failed: Some(reason.to_string()), ..begun(&cell) };
                            results.push(result.clone());
                            flow = both(flow, observer.event(Event::RunFinished { result }));
                        }
                    }
                }
            }
            if runs.is_empty() {
                let seconds = observer.seconds() - started;
                flow = both(flow, observer.event(Event::CohortFinished { cohort: index, seconds }));
                if flow.is_break() {
                    break;
                }
                continue;
            }
            let plan = Arc::new(if runs.len() == whole.shape.runs { whole } else { self.plan(runs.len(), room) });
            let base = room.base(self.base, &adapters(self.experiment).target_modules).tensors;
            let device = make_device(plan.clone(), base.clone()).await?;
            let mut cohort = Cohort::begin(runs, initial, plan.clone(), device, &self.data.train)?;
            let mut probes = match self.probe_plan(cells.len(), room) {
                None => None,
                Some(plan) => Some(self.probes(plan, base, make_device).await?),
            };
            let begun = |(cell, start)| RunResult { start, ..begun(cell) };
            let mut ended = cells.iter().zip(costs).map(begun).collect::<Vec<_>>();
            let first = from.map_or(0, |from| from.state.step);
            let mut told = first;
            if let Some(from) = from {
                from.check(&cells)?;
                cohort.restore(&from.state)?;
                ended.clone_from(&from.begun);
            }
            for step in first..self.experiment.steps {
                observer.listen().await;
                if flow.is_continue() && observer.wants_snapshot() {
                    for outcomes in cohort.outcomes().await? {
                        told += 1;
                        flow = both(flow, tell(told, outcomes, &mut ended, observer));
                    }
                    let (results, begun) = (results.clone(), ended.clone());
                    let state = cohort.state().await?;
                    observer.snapshot(Snapshot { cohort: index, results, begun, state });
                }
                flow = both(flow, observer.turn().await);
                if flow.is_break() {
                    break;
                }
                let mut probes = probes.as_mut().filter(|_| self.experiment.diagnoses(step + 1));
                if let Some(probes) = &mut probes {
                    probes.before(&mut cohort).await?;
                }
                cohort.step_each(|run| {
                    let left = run.scheme.rule_with(&run.chosen).steps_left(self.experiment.steps);
                    self.experiment.schedule_factor(step, left)
                });
                let evaluates = self.experiment.evaluates_after(step + 1);
                if !(cohort.is_busy() || evaluates || probes.is_some() || step + 1 == self.experiment.steps) {
                    continue;
                }
                for outcomes in cohort.outcomes().await? {
                    told += 1;
                    flow = both(flow, tell(told, outcomes, &mut ended, observer));
                }
                if let (true, Some(probes)) = (flow.is_continue(), probes) {
                    for (result, Seen { kl_from_base, adapters }) in ended.iter().zip(probes.after(&mut cohort).await?)
                    {
                        if result.diverged.is_none() && adapters.iter().all(Diagnosis::is_finite) {
                            let (cell, step) = (result.cell.clone(), told);
                            let kl_from_base = kl_from_base.and_then(Event::finite);
                            flow = both(flow, observer.event(Event::Diagnosis { cell, step, kl_from_base, adapters }));
                        }
                    }
                }
                if flow.is_continue() && evaluates {
                    flow = self.evaluate(&mut cohort, told, &mut ended, observer).await?;
                }
            }
            let seconds = observer.seconds() - started;
            let finished = ended.iter().any(|result| result.final_loss.is_some());
            let trained = if finished { cohort.device().trained().await? } else { vec![] };
            for result in &mut ended {
                result.seconds = seconds / cells.len() as f64;
                results.push(result.clone());
                flow = both(flow, observer.event(Event::RunFinished { result: result.clone() }));
            }
            for (run, result) in ended.iter().enumerate().filter(|(_, result)| result.final_loss.is_some()) {
                flow = both(flow, observer.adapter(&result.cell, self.adapter(&cohort, room, run, &trained[run])));
            }
            flow = both(flow, observer.event(Event::CohortFinished { cohort: index, seconds }));
            if flow.is_break() {
                break;
            }
        }
        Ok(results)
    }

    /// A small device beside a cohort's, for its diagnostics.
    async fn probes(&self, plan: Plan, base: Arc<[Tensor]>, make_device: MakeDevice<'_>) -> Result<Probes, SweepError> {
        let plan = Arc::new(plan);
        let device = make_device(plan.clone(), base).await?;
        let threads = self.experiment.threads.map(Into::into);
        Ok(Probes::new(device, plan, self.probe.clone(), optimizer(self.experiment), threads))
    }

    /// How runs begin that are to train by `plan`, or why they can't.
    ///
    /// # Errors
    /// If the data do not fit, or a device fails.
    pub async fn starts(
        &self,
        runs: &[Run],
        plan: &Plan,
        make_device: MakeDevice<'_>,
    ) -> Result<Vec<Begun>, SweepError> {
        let adapters = adapters(self.experiment);
        let calibration = calibration(self.base, self.experiment, &self.data.train, &adapters, make_device);
        Ok(calibration.starts(runs, plan).await?)
    }

    /// How the runs of a cohort begin, and what is to be told where data were read for it.
    async fn initial(
        &self,
        runs: &[Run],
        plan: &Plan,
        make_device: MakeDevice<'_>,
        observer: &dyn Observer,
    ) -> Result<(Vec<Begun>, Option<Event>), SweepError> {
        let began = observer.seconds();
        let starts = self.starts(runs, plan, make_device).await?;
        let tokens = starts.iter().flatten().map(|start| start.tokens).max().unwrap_or(0);
        let event = (tokens > 0).then(|| {
            let mut schemes: Vec<String> = vec![];
            for run in runs.iter().filter(|run| run.scheme.rule.reads_data()) {
                if !schemes.iter().any(|name| name == run.scheme.name) {
                    schemes.push(run.scheme.name.to_owned());
                }
            }
            Event::Calibrated { schemes, tokens, seconds: observer.seconds() - began }
        });
        Ok((starts, event))
    }

    /// How the runs of a cohort do on the held-out data after `step` steps.
    async fn evaluate(
        &self,
        cohort: &mut Cohort<'_>,
        step: usize,
        results: &mut [RunResult],
        observer: &mut dyn Observer,
    ) -> Result<ControlFlow<()>, SweepError> {
        let mut flow = ControlFlow::Continue(());
        for (result, validation) in results.iter_mut().zip(cohort.validate(&self.validation).await?) {
            let Some(Validation { loss, accuracy }) = validation else { continue };
            let (loss, cell) = (Event::finite(loss), result.cell.clone());
            result.evaluations.push(Evaluation { step, loss, accuracy });
            if step == self.experiment.steps {
                (result.final_loss, result.accuracy) = (loss, accuracy);
                if loss.is_none() {
                    result.diverged = Some(Diverged { step, tensor: "the validation loss".to_owned() });
                }
            }
            flow = both(flow, observer.event(Event::Evaluation { cell, step, loss, accuracy }));
        }
        Ok(flow)
    }

    /// A cell as a run.
    ///
    /// # Errors
    /// If its scheme is unknown.
    pub fn start(&self, cell: &Cell) -> Result<Run, SweepError> {
        run_of(self.experiment, cell)
    }

    /// The first batch of a seed.
    ///
    /// # Errors
    /// If the data do not fit the sequences.
    pub fn batch(&self, seed: u64) -> Result<Batch, SweepError> {
        Ok(self.batches(seed, 1)?.remove(0))
    }

    /// The first batches of a seed.
    ///
    /// # Errors
    /// If the data do not fit the sequences.
    pub fn batches(&self, seed: u64, count: usize) -> Result<Vec<Batch>, SweepError> {
        let Resolved { batch_size, tokens, .. } = *self.experiment;
        let mut sampler = Sampler::new(&self.data.train, seed, batch_size, tokens)?;
        Ok((0..count as u64).map(|step| sampler.batch(step)).collect())
    }

    /// The adapter of a run that has trained this.
    fn adapter(&self, cohort: &Cohort<'_>, room: Room, run: usize, trained: &[f32]) -> Adapter {
        let frozen_pairs = cohort.initial(run).frozen_pairs();
        let scheme = cohort.runs()[run].scheme;
        let base_name = room.base_name(&self.base_name);
        export(cohort.plan(), &base_name, self.experiment, scheme, trained, frozen_pairs)
    }
}

/// Tells what one step came to; to the end, so that a break leaves no run a step behind.
fn tell(
    step: usize,
    outcomes: Vec<Option<StepOutcome>>,
    results: &mut [RunResult],
    observer: &mut dyn Observer,
) -> ControlFlow<()> {
    let mut flow = ControlFlow::Continue(());
    for (result, outcome) in results.iter_mut().zip(outcomes) {
        let Some(outcome) = outcome else { continue };
        let cell = result.cell.clone();
        let event = Event::Step {
            cell: cell.clone(),
            step,
            loss: Event::finite(outcome.report.loss),
            learning_rate: outcome.learning_rate,
            gradient_norm: Event::finite(outcome.report.gradient_norm),
        };
        flow = both(flow, observer.event(event));
        if let Some(tensor) = outcome.report.diverged {
            result.diverged = Some(Diverged { step, tensor: tensor.clone() });
            flow = both(flow, observer.event(Event::Diverged { cell, step, tensor }));
        }
    }
    flow
}

fn begun(cell: &Cell) -> RunResult {
    RunResult {
        cell: cell.clone(),
        final_loss: None,
        accuracy: None,
        diverged: None,
        failed: None,
        start: None,
        evaluations: vec![],
        seconds: 0.0,
    }
}

fn both(one: ControlFlow<()>, other: ControlFlow<()>) -> ControlFlow<()> {
    if one.is_break() { one } else { other }
}
