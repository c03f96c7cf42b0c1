//! Training a sweep.

use std::ops::ControlFlow;

use loralab_core::{
    device::{Cost, DeviceError, Machine, webgpu::GpuError},
    lab::{self, DataError, DataFile, Listening, Observer, Prepared, Snapshot, SweepError, Turn, least_bytes},
    lora::peft::Adapter,
};
use loralab_data::Split;
use loralab_experiment::{
    self as experiment, AdapterFiles, Blob, Cell, Event, Experiment, Message, PackError, Resolved,
};
use loralab_tokenizer::Tokenizer;

use crate::{Control, Host, TOKENIZER, base, words};

/// The bytes that a cohort may take. A tab may have up to 4 GiB, but a phone's browser ends a tab that takes so much.
const MEMORY: u64 = 512 << 20;

/// The most seconds between two reports to the page.
const SILENCE: f64 = 0.05;

/// The least seconds between two snapshots, and the most snapshot bytes per second: the page writes each as a whole.
const SNAPSHOT_EVERY: f64 = 4.0;
const SNAPSHOT_BYTES: f64 = 2e6;

/// The request of a training.
pub(crate) struct Asked {
    /// The experiment.
    pub experiment: Experiment,
    /// The contents of the file that its `data` names.
    pub data: Option<String>,
    /// A snapshot to continue from.
    pub from: Option<Blob>,
}

/// The reasons that a training ended early.
enum Failure {
    /// The request can't be carried out.
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

/// Trains a sweep and reports to the page.
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
    let experiment = lab::resolve(&asked.experiment).map_err(words)?;
    let prepared = prepare(&experiment, asked.data.as_deref(), machine, host).await?;
    let from = asked.from.as_ref().map(|bytes| Snapshot::from_bytes(&bytes.0).map_err(words)).transpose()?;
    let sweep = prepared.sweep(&experiment)?;
    let cohorts = prepared.cohorts(&sweep, &experiment.cells())?;
    let mut largest = (0, 0, 0);
    let total = |(runs, shared, per_run): (usize, u64, u64)| shared + per_run * runs as u64;
    for cells in &cohorts {
        for phase in sweep.phases(cells, &|plan| prepared.needs(plan))? {
            let sum = |of: fn(&Cost) -> u64| phase.needs.terms.iter().map(of).sum::<u64>();
            let needs = (cells.len(), sum(|cost| cost.shared), sum(|cost| cost.per_run));
            largest = if total(needs) > total(largest) { needs } else { largest };
        }
    }
    let (runs, shared, per_run) = largest;
    host.post(Message::Memory { cohorts: cohorts.len(), runs, shared, per_run });

    let started = host.seconds();
    let step = from.as_ref().map_or(0, |from| from.state.step);
    let mut reporter = Reporter { host, control, events: vec![], started, flushed: 0.0, saved: started, size: 0, step };
    let make_device = |plan, base| machine.make(plan, base);
    if from.is_none() {
        let runs = cohorts.iter().map(Vec::len).sum();
        reporter.push(prepared.started(&experiment, env!("CARGO_PKG_VERSION"), runs));
        // The page shows that the training has started before the first, long computation on this thread.
        reporter.flush();
        host.breathe().await;
        if let Some(validation) = sweep.base(&make_device).await? {
            let loss = Event::finite(validation.loss);
            reporter.push(Event::Base { loss, accuracy: validation.accuracy, text: sweep.text_measures(loss) });
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
    reporter.push(Event::Finished { complete: ended == runs, seconds, unwritten: vec![] });
    reporter.flush();
    Ok(())
}

/// Everything that an experiment needs; its `data` may name a text that came with it.
///
/// # Errors
/// If something is missing or refused, or no run fits into the memory that a tab may take.
pub(crate) async fn prepare(
    experiment: &Resolved,
    text: Option<&str>,
    machine: &Machine,
    host: &dyn Host,
) -> Result<Prepared, String> {
    let base_name = match &experiment.base {
        experiment::Base::Nano => "nano",
        experiment::Base::Tiny => "tiny",
        experiment::Base::Path(path) => path,
    };
    let mut base = base(base_name, host).await?;
    if let Some(quantiser) = lab::quantiser(experiment.quantize) {
        base = base.quantised(quantiser);
    }
    let data = data(experiment, text)?;
    // Nothing larger can be allocated, whatever the setting.
    let available = experiment.memory.map_or(MEMORY, |memory| memory.0).min(isize::MAX as u64);
    let bytes_per_run = least_bytes(&base, experiment, &data.validation);
    if bytes_per_run > available {
        return Err(words(PackError { bytes_per_run, shared_bytes: 0, available }));
    }
    Ok(Prepared {
        base,
        base_name: base_name.to_owned(),
        tokenizer: Tokenizer::Bytes,
        data,
        available,
        machine: machine.clone(),
        adapter: None,
    })
}

/// The data of an experiment: a task's, or those in `text`.
fn data(experiment: &Resolved, text: Option<&str>) -> Result<Split, String> {
    let file = match (&experiment.data, text) {
        (experiment::Data::Path(path), Some(text)) => Some(DataFile { path, is_named: true, bytes: text.as_bytes() }),
        _ => None,
    };
    lab::data(experiment, TOKENIZER, None, file, None).map_err(|error| match error {
        DataError::Missing(name) => {
            format!("the experiment reads `{name}`, which is not in the page; paste its text, or drop the file")
        }
        error => words(error),
    })
}

/// Posts the events of a sweep, several at a time.
struct Reporter<'a> {
    host: &'a dyn Host,
    control: &'a Control,
    events: Vec<Event>,
    started: f64,
    /// The time of the last report to the page.
    flushed: f64,
    /// The time of the last snapshot; the next field is its size in bytes.
    saved: f64,
    size: usize,
    /// The last step that was reported.
    step: usize,
}

impl Reporter<'_> {
    fn push(&mut self, event: Event) {
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
        self.flushed = self.host.seconds();
    }
}

impl Observer for Reporter<'_> {
    fn seconds(&self) -> f64 {
        self.host.seconds()
    }

    fn event(&mut self, event: Event) -> ControlFlow<()> {
        self.push(event);
        ControlFlow::Continue(())
    }

    fn adapter(&mut self, cell: &Cell, adapter: Adapter) -> ControlFlow<()> {
        self.flush();
        // An adapter that PEFT would not load whole, such as of a run whose values have just become non-finite, is left out.
        if let Ok(files) = adapter.to_peft() {
            let tensors = Blob(files.safetensors);
            let files = AdapterFiles { cell: cell.clone(), config: files.config_json, tensors };
            self.host.post(Message::Adapter { files });
        }
        ControlFlow::Continue(())
    }

    fn listen(&mut self) -> Listening<'_> {
        Box::pin(async move {
            if self.host.seconds() - self.flushed >= SILENCE {
                self.flush();
                self.host.breathe().await;
            }
        })
    }

    fn wants_snapshot(&self) -> bool {
        // A user who pauses may close the page.
        let every = SNAPSHOT_EVERY.max(self.size as f64 / SNAPSHOT_BYTES);
        self.control.waits() || self.host.seconds() - self.saved >= every
    }

    fn snapshot(&mut self, snapshot: Snapshot) {
        // A snapshot must follow the events before it.
        self.flush();
        let (step, file) = (snapshot.state.step, Blob(snapshot.to_bytes()));
        drop(snapshot);
        self.size = file.0.len();
        self.host.post(Message::Snapshot { step, file });
        self.saved = self.host.seconds();
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
