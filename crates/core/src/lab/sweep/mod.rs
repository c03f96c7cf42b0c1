//! A sweep: a grid of cells, packed into cohorts, trained one cohort after the other.

mod budget;
mod snapshot;
mod telling;
mod under_way;

use std::{future::Future, ops::ControlFlow, pin::Pin, sync::Arc};

pub use budget::columns;
use loralab_data::{Batch, Sampler, Split};
use loralab_experiment::{Bytes, Cell, Event, ExperimentError, PackError, Resolved, RunResult};
pub use snapshot::{Snapshot, SnapshotError};
use telling::Telling;
use under_way::Place;

use crate::{
    device::{DeviceError, MakeDevice},
    graph::{
        plan::{Plan, Shape},
        tape::Purpose,
    },
    lab::{
        Room,
        calibrate::{Begun, CalibrationError},
        train::{Run, StateError, Validation, validate},
        translate::{adapters, calibration, record, run_of},
    },
    lora::{
        init::{self, StartError},
        peft::Adapter,
    },
    models::Base,
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
    /// A setting that the model refuses.
    #[error(transparent)]
    Setting(#[from] ExperimentError),
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
        experiment.targets(&base.model.targets())?;
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
        let mut telling = Telling::new(observer);
        for (index, cells) in cohorts.iter().enumerate().skip(from.map_or(0, |from| from.cohort)) {
            let place = Place { index, of: cohorts.len(), from: from.filter(|from| from.cohort == index) };
            let started = telling.seconds();
            let under_way = self.begin_cohort(place, cells, make_device, &mut results, &mut telling).await?;
            if let Some(mut under_way) = under_way {
                under_way.train(&mut telling, &results).await?;
                results.extend(under_way.end(telling.seconds() - started, &mut telling).await?);
            }
            let seconds = telling.seconds() - started;
            telling.event(Event::CohortFinished { cohort: index, seconds });
            if telling.is_over() {
                break;
            }
        }
        Ok(results)
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
        let adapters = adapters(self.base, self.experiment);
        let calibration = calibration(self.base, self.experiment, &self.data.train, &adapters, make_device);
        Ok(calibration.starts(runs, plan).await?)
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
}
