//! A sweep: a grid of cells, split into cohorts, which are trained one after another.

mod budget;
mod fit;
mod reporter;
mod snapshot;
mod under_way;

use std::{collections::BTreeMap, future::Future, ops::ControlFlow, pin::Pin, sync::Arc};

pub use budget::columns;
pub use fit::{Fit, Saving};
use loralab_data::{Batch, Sampler, Split};
use loralab_experiment::{Bytes, Cell, Event, ExperimentError, PackError, Resolved, RunResult, TextMeasures};
use loralab_tokenizer::Tokenizer;
use reporter::Reporter;
pub use snapshot::{Checkpoint, Snapshot, SnapshotError};
use under_way::Place;

use crate::{
    device::{DeviceError, MakeDevice, RunSettings},
    graph::{
        plan::{Plan, Shape},
        tape::Purpose,
    },
    lab::{
        PlanNeeds,
        calibrate::{Calibrated, CalibrationError, RunStart},
        generate::{check, check_saved},
        train::{Initial, Run, StateError, Validation, validate},
        translate::{LengthError, adapted, adapters, calibration, check_length, record, run_of},
    },
    lora::{
        init::{self, StartError},
        peft::Adapter,
    },
    models::{Base, TargetError},
};

/// A future that a sweep waits for between steps; a break ends the sweep.
pub type Turn<'a> = Pin<Box<dyn Future<Output = ControlFlow<()>> + 'a>>;

/// A future that a sweep waits for while the observer handles its messages.
pub type Listening<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// The observer of a sweep.
pub trait Observer {
    /// Seconds since a fixed point in time of the observer's choice.
    fn seconds(&self) -> f64;

    /// Receives an event; the return value says whether to continue. After a break, the cohort's runs are reported as they are.
    fn event(&mut self, event: Event) -> ControlFlow<()>;

    /// Receives the adapter of a run that ended without diverging. The results of a cohort's runs are reported first, so that a failure here does not lose them.
    fn adapter(&mut self, cell: &Cell, adapter: Adapter) -> ControlFlow<()>;

    /// Receives the adapter with the lowest validation loss of a run, for a sweep that [keeps](Sweep::keeping_best) them.
    fn best_adapter(&mut self, _: &Cell, _: Adapter) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// Awaited before every step, and before [`wants_snapshot`](Self::wants_snapshot). An observer that shares a thread with the sweep, as a page's worker
    /// does, handles its messages here.
    fn listen(&mut self) -> Listening<'_> {
        Box::pin(std::future::ready(()))
    }

    /// Called before every step; true requests a [`Snapshot`]. The snapshot follows all events reported so far.
    fn wants_snapshot(&self) -> bool {
        false
    }

    /// Receives a snapshot of the sweep, to continue from with [`Sweep::go_on`].
    fn snapshot(&mut self, _: Snapshot) {}

    /// Awaited before every step, which it can delay; a break ends the sweep.
    fn turn(&mut self) -> Turn<'_> {
        Box::pin(std::future::ready(ControlFlow::Continue(())))
    }
}

/// The reasons that a sweep can't start.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The scheme does not exist.
    #[error(transparent)]
    Scheme(#[from] init::UnknownScheme),
    /// The model refuses a setting.
    #[error(transparent)]
    Setting(#[from] ExperimentError),
    /// The rules for the modules that carry adapters leave none.
    #[error(transparent)]
    Targets(#[from] TargetError),
    /// The sequences are longer than the model has positions.
    #[error(transparent)]
    Length(#[from] LengthError),
    /// The adapter to continue does not fit the base.
    #[error("{0}; choose the base that it was made for with `--base`")]
    Adapter(String),
    /// An option of a scheme has an invalid value.
    #[error(transparent)]
    Option(#[from] init::ChoiceError),
    /// The data do not fit the sequences.
    #[error(transparent)]
    Data(#[from] loralab_data::Error),
    /// A scheme can't start this adapter.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The training does not fit in memory.
    #[error(transparent)]
    Memory(#[from] PackError),
    /// A phase before the training does not fit in memory.
    #[error(
        "{phase} needs {}, but only {} may be used. Lower `batch_size`, `tokens` or `rank`, take another start or a smaller base, or raise `memory`.",
        Bytes(*.needed), Bytes(*.available)
    )]
    StartMemory {
        /// The phase.
        phase: String,
        /// Bytes that the phase needs.
        needed: u64,
        /// Bytes that are available.
        available: u64,
    },
    /// A device fails.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The snapshot belongs to another experiment.
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

/// A sweep over the grid of an experiment, with the base and the data that it trains on.
#[derive(Clone)]
pub struct Sweep<'a> {
    pub(super) base: &'a Base,
    base_name: String,
    pub(super) experiment: &'a Resolved,
    pub(super) data: &'a Split,
    pub(super) validation: Arc<[Batch]>,
    probe: Batch,
    /// Bytes of validation text per token that counts, if the tokenizer is known.
    bytes_per_token: Option<f64>,
    /// The adapter that runs continue.
    adapter: Option<Arc<Adapter>>,
    /// True if each run's adapter with the lowest validation loss is kept.
    keeps_best: bool,
    /// The results of runs that ended before; early stopping compares with them.
    ended: Arc<[RunResult]>,
    /// The validation loss of the base alone, in nats per token, if it is known.
    base_loss: Option<f64>,
}

impl<'a> Sweep<'a> {
    /// The sweep of an experiment on a base and data; `base_name` is the name of the base that exported adapters record.
    ///
    /// # Errors
    /// If the data do not fit the sequences.
    pub fn new(base: &'a Base, base_name: &str, experiment: &'a Resolved, data: &'a Split) -> Result<Self, SweepError> {
        let Resolved { batch_size, tokens, validation_examples, .. } = *experiment;
        adapted(base, experiment)?;
        check_length(base, experiment)?;
        let validation = loralab_data::validation(&data.validation, batch_size, tokens, validation_examples)?.into();
        let probe = loralab_data::validation(&data.validation, 1, tokens, 1)?.remove(0);
        let base_name = base_name.to_owned();
        let (bytes_per_token, adapter, keeps_best, ended) = (None, None, false, Arc::new([]) as Arc<[RunResult]>);
        let base_loss = None;
        Ok(Sweep {
            base,
            base_name,
            experiment,
            data,
            validation,
            probe,
            bytes_per_token,
            adapter,
            keeps_best,
            ended,
            base_loss,
        })
    }

    /// The same sweep of a model whose texts this tokenizer reads, so that the losses of texts are told in bits per byte, too.
    #[must_use]
    pub fn reading(self, tokenizer: &Tokenizer) -> Self {
        // The loss of labels is not one of the tokens that are read.
        let is_labelled = self.data.validation.labelled().is_some();
        let bytes = (!is_labelled).then(|| loralab_data::bytes_per_token(&self.validation, tokenizer)).flatten();
        Sweep { bytes_per_token: bytes, ..self }
    }

    /// The same sweep, with or without keeping the adapter of each run with the lowest loss of all validations, for which
    /// [`Observer::best_adapter`] is called at the end. Nothing else depends on it.
    #[must_use]
    pub fn keeping_best(self, keeps_best: bool) -> Self {
        Sweep { keeps_best, ..self }
    }

    /// The same sweep where these runs have ended and the base alone has this validation loss, in nats per token. Early stopping compares with them; a
    /// snapshot's own results need not be among them.
    #[must_use]
    pub fn knowing(&self, ended: &[RunResult], base_loss: Option<f64>) -> Self {
        Sweep { ended: ended.into(), base_loss, ..self.clone() }
    }

    /// Bytes of validation text per token that counts; none if the tokenizer is not known.
    pub fn bytes_per_token(&self) -> Option<f64> {
        self.bytes_per_token
    }

    /// The measures that follow from a validation loss, if the model reads text.
    pub fn text_measures(&self, loss: Option<f64>) -> TextMeasures {
        TextMeasures::of(loss, self.bytes_per_token)
    }

    /// The same sweep with an adapter that runs of the scheme [`GIVEN`](init::GIVEN) continue.
    ///
    /// # Errors
    /// If the adapter does not fit the base.
    pub fn continuing(self, adapter: Arc<Adapter>) -> Result<Self, SweepError> {
        check(&adapter.modules, self.base).map_err(SweepError::Adapter)?;
        check_saved(&adapter, self.base).map_err(SweepError::Adapter)?;
        Ok(Sweep { adapter: Some(adapter), ..self })
    }

    /// The validation of the base alone on the held-out data, with the head of the first seed if it has a head.
    ///
    /// # Errors
    /// If the device fails.
    pub async fn base(&self, make_device: MakeDevice<'_>) -> Result<Option<Validation>, SweepError> {
        let Resolved { batch_size: sequences, tokens, .. } = *self.experiment;
        let plan = record(self.base, self.experiment, Shape { runs: 1, sequences, tokens }, PlanNeeds::default())
            .compile(Purpose::Evaluate);
        let plan = Arc::new(plan);
        let mut device = make_device(plan.clone(), self.base.tensors.clone()).await?;
        if !plan.head.is_empty() {
            let mut trained = vec![0.0; plan.trained_len()];
            plan.put_head(self.experiment.seeds[0], &mut trained);
            device.load(0, &trained, &[], RunSettings::PLAIN);
        }
        Ok(validate(&mut *device, 1, &self.validation).await?[0])
    }

    /// Trains the cohorts and reports to the observer; returns the result of every run that was started. A run that can't start counts as failed.
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

    /// Continues from a snapshot of a sweep of the same experiment. The events are those that an uninterrupted sweep would report from there on.
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
        let mut reporter = Reporter::new(observer);
        let base_loss = match self.base_loss {
            None if self.experiment.stop_early => {
                self.base(make_device).await?.and_then(|base| Event::finite(base.loss))
            }
            known => known,
        };
        for (index, cells) in cohorts.iter().enumerate().skip(from.map_or(0, |from| from.cohort)) {
            let place = Place { index, of: cohorts.len(), from: from.filter(|from| from.cohort == index) };
            let started = reporter.seconds();
            let under_way = self.begin_cohort(place, cells, make_device, &mut results, &mut reporter).await?;
            if let Some(under_way) = under_way {
                let under_way = under_way.train(base_loss, make_device, &mut reporter, &mut results).await?;
                results.extend(under_way.end(&mut reporter).await?);
            }
            let seconds = reporter.seconds() - started;
            reporter.event(Event::CohortFinished { cohort: index, seconds });
            if reporter.is_over() {
                break;
            }
        }
        Ok(results)
    }

    /// The start of each run that is to train by `plan`, or the reason it has none.
    ///
    /// # Errors
    /// If the data do not fit, or a device fails.
    pub async fn starts(
        &self,
        runs: &[Run],
        plan: &Plan,
        make_device: MakeDevice<'_>,
    ) -> Result<Vec<RunStart>, SweepError> {
        if let Some(adapter) = &self.adapter {
            // Heads that the adapter lacks differ by seed.
            let mut known: BTreeMap<u64, Arc<Calibrated>> = BTreeMap::new();
            let mut start = |seed: u64| {
                let seed = if plan.head.len() > adapter.saved.len() { seed } else { 0 };
                let made = || Calibrated { initial: Arc::new(Initial::of_adapter(plan, adapter, seed)), tokens: 0 };
                known.entry(seed).or_insert_with(|| Arc::new(made())).clone()
            };
            return Ok(runs.iter().map(|run| Ok(start(run.seed))).collect());
        }
        let adapters = adapters(self.base, self.experiment);
        let calibration = calibration(self.base, self.experiment, &self.data.train, &adapters, make_device);
        Ok(calibration.starts(runs, plan).await?)
    }

    /// The run of a cell.
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
}
