//! A sweep: a grid of cells, packed into cohorts, trained one cohort after the other.

use std::{future::Future, ops::ControlFlow, pin::Pin, sync::Arc};

use loralab_data::{Batch, Dataset, Sampler, Split};
use loralab_experiment::{
    Budget, Cell, Diverged, Evaluation, Event, Optimizer as Named, PackError, Resolved, RunResult, pack,
};

use crate::{
    adapter::{Adapter, Module},
    device::{Answer, Device, DeviceError, Needs, RunSettings},
    init::{self, Scheme},
    memory::Tensor,
    model::{Adapters, Base, Training, decoder},
    plan::{Optimizer, Plan, Shape},
    tape::{Purpose, Tape},
    train::{Cohort, Run, StepOutcome, Validation, validate},
};

/// Makes the device that a plan over a base runs on.
pub type MakeDevice<'a> = &'a dyn Fn(Arc<Plan>, Arc<[Tensor]>) -> Answer<'a, Box<dyn Device>>;

/// What an observer lets a sweep wait for.
pub type Turn<'a> = Pin<Box<dyn Future<Output = ControlFlow<()>> + 'a>>;

/// Who watches a sweep.
pub trait Observer {
    /// Seconds since some moment of its own.
    fn seconds(&self) -> f64;

    /// Something happened; the answer says whether to go on. After a break, the cohort's runs are reported as they stand.
    fn event(&mut self, event: Event) -> ControlFlow<()>;

    /// A run ended without diverging; this is its adapter.
    fn adapter(&mut self, cell: &Cell, adapter: Adapter) -> ControlFlow<()>;

    /// Waited for before every step: whoever shares a thread with the sweep, as a page's worker does, is heard here, and can hold it up or end it.
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
    /// Data that do not fit.
    #[error(transparent)]
    Data(#[from] loralab_data::Error),
    /// Memory that does not suffice.
    #[error(transparent)]
    Memory(#[from] PackError),
    /// A device that fails.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// An experiment with everything it names at hand.
pub struct Sweep<'a> {
    base: &'a Base,
    base_name: String,
    experiment: &'a Resolved,
    train: &'a Dataset,
    validation: Vec<Batch>,
}

impl<'a> Sweep<'a> {
    /// Puts an experiment together with its base and data; `base_name` is what exported adapters say they belong to.
    ///
    /// # Errors
    /// If the data do not fit the sequences.
    pub fn new(base: &'a Base, base_name: &str, experiment: &'a Resolved, data: &'a Split) -> Result<Self, SweepError> {
        let Resolved { batch_size, tokens, validation_examples, .. } = *experiment;
        let validation = loralab_data::validation(&data.validation, batch_size, tokens, validation_examples)?;
        Ok(Sweep { base, base_name: base_name.to_owned(), experiment, train: &data.train, validation })
    }

    /// The plan that `runs` cells share; `frozen_pairs` for schemes that subtract their starting product.
    pub fn plan(&self, runs: usize, frozen_pairs: bool) -> Plan {
        let experiment = self.experiment;
        let shape = Shape { runs, sequences: experiment.batch_size, tokens: experiment.tokens };
        let mut tape = Tape::new(shape, frozen_pairs);
        decoder(&mut tape, &self.base.config, Training::Adapters(self.base, &adapters(experiment)));
        tape.compile(Purpose::Train(match experiment.optimizer {
            Named::AdamW { beta1, beta2, epsilon } => Optimizer::AdamW { beta1, beta2, epsilon },
            Named::Sgd { momentum } => Optimizer::Sgd { momentum },
            Named::SignSgd => Optimizer::SignSgd,
        }))
    }

    /// The grid cut into cohorts that fit `available` bytes, given what a device says that a plan needs.
    ///
    /// # Errors
    /// If a scheme is unknown or not even one run fits.
    pub fn cohorts(&self, needs: impl Fn(&Plan) -> Needs, available: u64) -> Result<Vec<Vec<Cell>>, SweepError> {
        let mut with_pair = Vec::new();
        for scheme in &self.experiment.schemes {
            if init::find(scheme)?.has_frozen_pair() {
                with_pair.push(scheme);
            }
        }
        let needs_pair = |cell: &Cell| with_pair.contains(&&cell.scheme);
        let needs = needs(&self.plan(1, !with_pair.is_empty()));
        let budget = Budget {
            bytes_per_run: needs.terms.iter().map(|cost| cost.per_run).sum(),
            shared_bytes: needs.terms.iter().map(|cost| cost.shared).sum(),
            available,
            limit: self.experiment.cohort.into_iter().chain(needs.most_runs).min(),
        };
        Ok(pack(&self.experiment.cells(), needs_pair, &budget)?)
    }

    /// How well the base alone does on the held-out data.
    ///
    /// # Errors
    /// If the device fails.
    pub async fn base(&self, make_device: MakeDevice<'_>) -> Result<Option<Validation>, SweepError> {
        let mut device = make_device(Arc::new(self.plan(1, false)), self.base.tensors.clone()).await?;
        Ok(validate(&mut *device, 1, &self.validation).await?[0])
    }

    /// Trains the cohorts and tells the observer; returns what every run that was begun came to.
    ///
    /// # Errors
    /// If a scheme is unknown, the data do not fit, or the device fails.
    pub async fn run(
        &self,
        cohorts: &[Vec<Cell>],
        make_device: MakeDevice<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Vec<RunResult>, SweepError> {
        let mut results = Vec::new();
        for (index, cells) in cohorts.iter().enumerate() {
            let started = observer.seconds();
            let event = Event::CohortStarted { cohort: index, cohorts: cohorts.len(), cells: cells.clone() };
            let mut flow = observer.event(event);
            let runs = cells.iter().map(|cell| self.start(cell)).collect::<Result<Vec<_>, SweepError>>()?;
            let plan = Arc::new(self.plan(runs.len(), runs.iter().any(|run| run.scheme.has_frozen_pair())));
            let device = make_device(plan.clone(), self.base.tensors.clone()).await?;
            let mut cohort = Cohort::new(runs, plan, device, self.train)?;
            let mut ended = cells.iter().map(begun).collect::<Vec<_>>();
            let mut told = 0;
            for step in 0..self.experiment.steps {
                flow = both(flow, observer.turn().await);
                if flow.is_break() {
                    break;
                }
                cohort.step(self.experiment.schedule_factor(step));
                let evaluates = self.experiment.evaluates_after(step + 1);
                if !(cohort.is_busy() || evaluates || step + 1 == self.experiment.steps) {
                    continue;
                }
                for outcomes in cohort.outcomes().await? {
                    told += 1;
                    flow = both(flow, tell(told, outcomes, &mut ended, observer));
                }
                if flow.is_continue() && evaluates {
                    flow = self.evaluate(&mut cohort, told, &mut ended, observer).await?;
                }
            }
            let seconds = observer.seconds() - started;
            for (run, mut result) in ended.into_iter().enumerate() {
                result.seconds = seconds / cells.len() as f64;
                if result.final_loss.is_some() {
                    flow = both(flow, observer.adapter(&result.cell, self.adapter(&mut cohort, run).await?));
                }
                results.push(result.clone());
                flow = both(flow, observer.event(Event::RunFinished { result }));
            }
            flow = both(flow, observer.event(Event::CohortFinished { cohort: index, seconds }));
            if flow.is_break() {
                break;
            }
        }
        Ok(results)
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
        let scheme: &'static Scheme = init::find(&cell.scheme)?;
        let settings = RunSettings {
            scale: self.experiment.scale(),
            learning_rate_ratio: self.experiment.learning_rate_ratio,
            weight_decay: self.experiment.weight_decay,
            max_grad_norm: self.experiment.max_grad_norm.unwrap_or(0.0),
        };
        Ok(Run { scheme, seed: cell.seed, learning_rate: cell.learning_rate, settings })
    }

    /// The first batch of a seed.
    ///
    /// # Errors
    /// If the data do not fit the sequences.
    pub fn batch(&self, seed: u64) -> Result<Batch, SweepError> {
        let Resolved { batch_size, tokens, .. } = *self.experiment;
        Ok(Sampler::new(self.train, seed, batch_size, tokens)?.batch(0))
    }

    /// A run's adapter as it stands.
    async fn adapter(&self, cohort: &mut Cohort<'_>, run: usize) -> Result<Adapter, SweepError> {
        let trained = cohort.device().trained(run).await?;
        let (_, frozen_pairs) = cohort.start(run);
        let modules = cohort.plan().parameters.chunks_exact(2).map(|pair| {
            let (a, b) = (&pair[0], &pair[1]);
            Module {
                name: a.name.trim_end_matches(".lora_A.weight").to_owned(),
                inputs: a.shape[1],
                outputs: b.shape[0],
                a: trained[a.span.range()].to_vec(),
                b: trained[b.span.range()].to_vec(),
                frozen: cohort.runs()[run]
                    .scheme
                    .has_frozen_pair()
                    .then(|| (frozen_pairs[a.span.range()].to_vec(), frozen_pairs[b.span.range()].to_vec())),
            }
        });
        Ok(Adapter {
            base: self.base_name.clone(),
            rank: self.experiment.rank,
            alpha: self.experiment.alpha,
            use_rslora: self.experiment.scaling == loralab_experiment::Scaling::RsLora,
            target_modules: adapters(self.experiment).target_modules,
            modules: modules.collect(),
        })
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

fn adapters(experiment: &Resolved) -> Adapters {
    let target_modules = experiment.target_modules.iter().map(|module| module.name().to_owned()).collect();
    Adapters { rank: experiment.rank, target_modules }
}

fn begun(cell: &Cell) -> RunResult {
    RunResult {
        cell: cell.clone(),
        final_loss: None,
        accuracy: None,
        diverged: None,
        evaluations: vec![],
        seconds: 0.0,
    }
}

fn both(one: ControlFlow<()>, other: ControlFlow<()>) -> ControlFlow<()> {
    if one.is_break() { one } else { other }
}
