//! Training a sweep.

use std::ops::ControlFlow;

use loralab_core::{
    device::{Cost, DeviceError, Machine, webgpu::GpuError},
    lab::{Listening, Observer, Snapshot, Sweep, SweepError, Turn, least_bytes},
    lora::{init, peft::Adapter},
    models::Base,
};
use loralab_data::{Dataset, HELD_OUT, Split, Task};
use loralab_experiment::{
    self as experiment, AdapterFiles, Blob, Cell, Event, Experiment, Message, PackError, Resolved,
};

use crate::{Control, Host, TOKENIZER, base, words};

/// Examples of a task, those held out included, and the seed of both; as the binary has them.
const EXAMPLES: usize = 4096;
const DATA_SEED: u64 = 0;

/// Bytes that a cohort may take. A tab may have up to 4 GiB, but a phone's browser ends a tab that takes so much.
const MEMORY: u64 = 512 << 20;

/// Most seconds between two words about what happened.
const SILENCE: f64 = 0.05;

/// Least seconds between two snapshots, and most of their bytes in a second: whoever keeps them writes each whole.
const SNAPSHOT_EVERY: f64 = 4.0;
const SNAPSHOT_BYTES: f64 = 2e6;

/// What is to be trained.
pub(crate) struct Asked {
    /// The experiment.
    pub experiment: Experiment,
    /// What the file holds that its `data` names.
    pub data: Option<String>,
    /// A snapshot to go on from.
    pub from: Option<Blob>,
}

/// Why a training came to no end.
enum Failure {
    /// It can't be done.
    Refused(String),
    /// The GPU was lost.
    Lost(String),
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Failure::Refused(reason)
    }
}

impl From<PackError> for Failure {
    fn from(error: PackError) -> Self {
        Failure::Refused(error.to_string())
    }
}

impl From<SweepError> for Failure {
    fn from(error: SweepError) -> Self {
        match &error {
            SweepError::Device(DeviceError::Gpu(GpuError::Lost { .. })) => Failure::Lost(error.to_string()),
            _ => Failure::Refused(error.to_string()),
        }
    }
}

/// Trains a sweep and tells of it.
pub(crate) async fn train(asked: &Asked, machine: &Machine, control: &Control, host: &dyn Host) -> Result<(), String> {
    if !control.begin() {
        return Err("a training is under way; stop it before another is begun".to_owned());
    }
    let done = sweep(asked, machine, control, host).await;
    control.end();
    match done {
        Ok(()) => Ok(()),
        Err(Failure::Refused(reason)) => Err(reason),
        Err(Failure::Lost(reason)) => {
            host.post(Message::Lost { reason });
            Ok(())
        }
    }
}

async fn sweep(asked: &Asked, machine: &Machine, control: &Control, host: &dyn Host) -> Result<(), Failure> {
    let experiment = resolved(&asked.experiment)?;
    let name = base_name(&experiment);
    let base = base(name, host).await?;
    let data = split(&experiment, asked.data.as_deref())?;
    let available = available(&base, &experiment, &data)?;
    let from = asked.from.as_ref().map(|bytes| Snapshot::from_bytes(&bytes.0).map_err(words)).transpose()?;
    let sweep = Sweep::new(&base, name, &experiment, &data)?;
    let cohorts = sweep.cohorts(|plan| machine.needs(plan, &base.tensors), available)?;
    let mut largest = (0, 0, 0);
    let total = |(runs, shared, per_run): (usize, u64, u64)| shared + per_run * runs as u64;
    for cells in &cohorts {
        for phase in sweep.phases(cells, &|plan| machine.needs(plan, &base.tensors))? {
            let sum = |of: fn(&Cost) -> u64| phase.needs.terms.iter().map(of).sum::<u64>();
            let needs = (cells.len(), sum(|cost| cost.shared), sum(|cost| cost.per_run));
            largest = if total(needs) > total(largest) { needs } else { largest };
        }
    }
    let (runs, shared, per_run) = largest;
    host.post(Message::Memory { cohorts: cohorts.len(), runs, shared, per_run });

    let started = host.seconds();
    let step = from.as_ref().map_or(0, |from| from.state.step);
    let mut reporter = Reporter { host, control, events: vec![], started, told: 0.0, kept: started, size: 0, step };
    let make_device = |plan, base| machine.make(plan, base);
    if from.is_none() {
        reporter.tell(Event::Started {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            device: machine.describe(),
            runs: cohorts.iter().map(Vec::len).sum(),
            steps: experiment.steps,
            schemes: experiment.schemes.clone(),
        });
        // The page shows that it has begun before the first, long work on this thread.
        reporter.flush();
        host.breathe().await;
        if let Some(validation) = sweep.base(&make_device).await? {
            reporter.tell(Event::Base { loss: Event::finite(validation.loss), accuracy: validation.accuracy });
        }
    }
    let results = sweep.go_on(&cohorts, from.as_ref(), &make_device, &mut reporter).await?;
    let runs: usize = cohorts.iter().map(Vec::len).sum();
    let ended = results.iter().filter(|run| run.is_over()).count();
    if let (true, Some(reason)) =
        (ended == runs, results.iter().map(|run| run.failed.clone()).reduce(Option::and).flatten())
    {
        return Err(format!("no run could start: {reason}").into());
    }
    let seconds = host.seconds() - reporter.started;
    reporter.tell(Event::Finished { complete: ended == runs, seconds });
    reporter.flush();
    Ok(())
}

/// The bytes that a cohort of the experiment may take, of which no run by itself needs more.
///
/// # Errors
/// If one does.
pub(crate) fn available(base: &Base, experiment: &Resolved, data: &Split) -> Result<u64, PackError> {
    // Nothing larger can be allocated, whatever the setting says.
    let available = experiment.memory.map_or(MEMORY, |memory| memory.0).min(isize::MAX as u64);
    let bytes_per_run = least_bytes(base, experiment, &data.validation);
    if bytes_per_run > available {
        return Err(PackError { bytes_per_run, shared_bytes: 0, available });
    }
    Ok(available)
}

/// The experiment with every setting at hand.
pub(crate) fn resolved(experiment: &Experiment) -> Result<Resolved, String> {
    let schemes: Vec<_> = init::ALL.iter().map(|scheme| scheme.name).collect();
    experiment.resolve(&schemes).map_err(words)
}

/// What its base is called.
pub(crate) fn base_name(experiment: &Resolved) -> &str {
    match &experiment.base {
        experiment::Base::Nano => "nano",
        experiment::Base::Tiny => "tiny",
        experiment::Base::Path(path) => path,
    }
}

/// The data of an experiment: a task's, or those of the file that it names.
pub(crate) fn split(experiment: &Resolved, file: Option<&str>) -> Result<Split, String> {
    let tokens = experiment.tokens;
    let dataset = match (&experiment.data, file) {
        (experiment::Data::Task(task), _) => {
            Ok(Dataset::Examples(Task::find(task.name()).map_err(words)?.examples(TOKENIZER, DATA_SEED, EXAMPLES)))
        }
        (experiment::Data::Path(name), None) => {
            return Err(format!(
                "the experiment learns `{name}`, which is not in the page; paste its text, or drop the file"
            ));
        }
        (experiment::Data::Path(name), Some(text)) => Dataset::file(name, text.as_bytes(), TOKENIZER, tokens),
    };
    dataset.and_then(|dataset| dataset.split(DATA_SEED, HELD_OUT, tokens)).map_err(|error| match &experiment.data {
        experiment::Data::Task(task) => format!("`tokens` is {tokens}, too few for the task {task}: {error}"),
        experiment::Data::Path(name) => format!("{name}: {error}"),
    })
}

/// Hands the events of a sweep on, some at a time.
struct Reporter<'a> {
    host: &'a dyn Host,
    control: &'a Control,
    events: Vec<Event>,
    started: f64,
    /// When the page was last told something.
    told: f64,
    /// When it last got a snapshot, and the bytes of that.
    kept: f64,
    size: usize,
    /// The last step that was told of.
    step: usize,
}

impl Reporter<'_> {
    fn tell(&mut self, event: Event) {
        match &event {
            Event::CohortStarted { .. } => self.step = 0,
            Event::Step { step, .. } => self.step = *step,
            _ => {}
        }
        self.events.push(event);
    }

    fn flush(&mut self) {
        if !self.events.is_empty() {
            self.host.post(Message::Events { events: std::mem::take(&mut self.events) });
        }
        self.told = self.host.seconds();
    }
}

impl Observer for Reporter<'_> {
    fn seconds(&self) -> f64 {
        self.host.seconds()
    }

    fn event(&mut self, event: Event) -> ControlFlow<()> {
        self.tell(event);
        ControlFlow::Continue(())
    }

    fn adapter(&mut self, cell: &Cell, adapter: Adapter) -> ControlFlow<()> {
        self.flush();
        // One that PEFT would not load whole, such as of a run whose values have just left the finite, is no adapter.
        if let Ok(files) = adapter.to_peft() {
            let tensors = Blob(files.safetensors);
            let files = AdapterFiles { cell: cell.clone(), config: files.config_json, tensors };
            self.host.post(Message::Adapter { files });
        }
        ControlFlow::Continue(())
    }

    fn listen(&mut self) -> Listening<'_> {
        Box::pin(async move {
            if self.host.seconds() - self.told >= SILENCE {
                self.flush();
                self.host.breathe().await;
            }
        })
    }

    fn wants_snapshot(&self) -> bool {
        // Whoever holds it up may close the page.
        let every = SNAPSHOT_EVERY.max(self.size as f64 / SNAPSHOT_BYTES);
        self.control.waits() || self.host.seconds() - self.kept >= every
    }

    fn snapshot(&mut self, snapshot: Snapshot) {
        // What it stands after is told before it.
        self.flush();
        let (step, file) = (snapshot.state.step, Blob(snapshot.to_bytes()));
        drop(snapshot);
        self.size = file.0.len();
        self.host.post(Message::Snapshot { step, file });
        self.kept = self.host.seconds();
    }

    fn turn(&mut self) -> Turn<'_> {
        Box::pin(async move {
            if self.control.waits() {
                self.flush();
                self.host.post(Message::Paused { step: self.step });
            }
            self.control.turn().await
        })
    }
}
