//! Preparation that command and worker share: from an experiment and the bytes of the files it names to everything that a training needs.

use std::sync::Arc;

use loralab_data::{Dataset, Fields, Found, HELD_OUT, Labelled, Reader, Split, Task, TooLong, Wanted, copies};
use loralab_experiment::{Cell, Data, Event, Experiment, ExperimentError, HeldOut, Quantize, Resolved};
use loralab_tokenizer::Tokenizer;

use super::{AdapterStart, PlanNeeds, Sweep, SweepError, adapters, check_memory, compute_start};
use crate::{
    device::{Machine, Needs},
    graph::{memory::Tensor, plan::Plan},
    lora::{init, peft::Adapter},
    models::{Base, BaseError, Model, Output},
};

/// The number of examples of a task, held-out ones included.
const TASK_EXAMPLES: usize = 4096;
/// The seed of a task's examples, and of the choice of held-out data.
const DATA_SEED: u64 = 0;

/// The experiment with every setting filled in and checked.
///
/// # Errors
/// A sentence that names the setting.
pub fn resolve(experiment: &Experiment) -> Result<Resolved, ExperimentError> {
    let given = experiment.schemes.as_deref() == Some(&[init::GIVEN.name.to_owned()]);
    let schemes = init::ALL.iter().map(|scheme| scheme.name).chain(given.then_some(init::GIVEN.name));
    let resolved = experiment.resolve(&schemes.collect::<Vec<_>>())?;
    let reads = |name: &&String| init::find(name).is_ok_and(|scheme| scheme.rule.reads_data());
    match resolved.schemes.iter().find(reads) {
        Some(scheme) if resolved.pack => Err(ExperimentError::Clash {
            first: "`pack` is true".to_owned(),
            second: format!("`schemes` has \"{scheme}\""),
            why: "a start that reads data would read examples that see each other",
            remedy: "Remove one of the two.".to_owned(),
        }),
        _ => check_quantised(resolved),
    }
}

/// Refuses a base that is quantised twice.
fn check_quantised(experiment: Resolved) -> Result<Resolved, ExperimentError> {
    let quantises = |name: &&String| init::find(name).is_ok_and(|scheme| scheme.rule.quantiser().is_some());
    match experiment.schemes.iter().find(quantises) {
        Some(scheme) if experiment.quantize != Quantize::None => Err(ExperimentError::Clash {
            first: format!("`quantize` is \"{}\"", experiment.quantize),
            second: format!("`schemes` has \"{scheme}\""),
            why: "that scheme quantises the base by itself",
            remedy: "Remove one of the two.".to_owned(),
        }),
        _ => Ok(experiment),
    }
}

/// The file that an experiment's `data` setting names.
#[derive(Clone, Copy, Debug)]
pub struct DataFile<'a> {
    /// Its path, for messages.
    pub path: &'a str,
    /// True if the end of the path tells the file's format; false for a pipe.
    pub is_named: bool,
    /// Its bytes.
    pub bytes: &'a [u8],
}

impl DataFile<'_> {
    /// The dataset in the file.
    ///
    /// # Errors
    /// If the file can't be read as training data, or has examples that are too long.
    pub fn read(self, reader: &Reader<'_>) -> Result<Found, DataError> {
        reader.read(self.is_named.then_some(self.path), self.bytes).map_err(self.refused())
    }

    /// The length of a sequence, in tokens, that nearly all examples of the file fit; `None` for a text.
    ///
    /// # Errors
    /// As for [`DataFile::read`].
    pub fn length_of_most(self, reader: &Reader<'_>) -> Result<Option<usize>, DataError> {
        reader.length_of_most(self.is_named.then_some(self.path), self.bytes).map_err(self.refused())
    }

    /// The file's data in sequences of the reader's length, split into a part to train on and one to validate with: a `share` of it.
    ///
    /// # Errors
    /// If the file can't be read as training data, or does not fit the sequences.
    pub fn split(self, reader: &Reader<'_>, share: f64) -> Result<Split, DataError> {
        let found = self.read(reader)?;
        let mut split = found.dataset.split(DATA_SEED, share, reader.tokens).map_err(self.refused())?;
        let copies = copies::in_words(&split, &found, None);
        split.notes = found.notes.into_iter().chain(copies).collect();
        Ok(split)
    }

    /// The file's data to train on, and those of another file to validate with.
    ///
    /// # Errors
    /// If a file can't be read as training data, or does not fit the sequences, or one is a text and the other is not.
    pub fn with_validation(self, validation: DataFile<'_>, reader: &Reader<'_>) -> Result<Split, DataError> {
        let train = self.read(reader)?;
        // Labels must mean the same in both.
        let labels = train.dataset.labelled().map(|texts| match texts.labels().names() {
            Some(names) => Wanted::KnownClass(names.to_vec()),
            None => Wanted::Score,
        });
        let held_out = validation.read(&Reader { labels, ..reader.clone() })?;
        train.dataset.fits(reader.tokens).map_err(self.refused())?;
        let split = train.dataset.clone().with_validation(held_out.dataset.clone(), reader.tokens);
        let mut split = split.map_err(validation.refused())?;
        let copies = copies::in_words(&split, &train, Some(&held_out));
        let of_validation = held_out.notes.into_iter().map(|note| format!("{}: {note}", validation.path));
        split.notes = train.notes.into_iter().chain(of_validation).chain(copies).collect();
        Ok(split)
    }

    fn refused(self) -> impl Fn(loralab_data::Error) -> DataError {
        let path = self.path.to_owned();
        move |reason| DataError::File { path: path.clone(), reason }
    }
}

/// The answer that a model is to give about a text of the data; none if it writes texts. The classes are those of its head if a checkpoint has it, or those that its
/// config names; else the data say them.
pub fn wanted(model: &Model, has_head: bool) -> Option<Wanted> {
    let names = model.labels();
    let are_named = || names.iter().enumerate().any(|(index, name)| *name != format!("LABEL_{index}"));
    match model.output() {
        Output::Tokens => None,
        Output::Score => Some(Wanted::Score),
        Output::Classes(_) if has_head || are_named() => Some(Wanted::Class(names.to_vec())),
        Output::Classes(_) => Some(Wanted::Class(vec![])),
    }
}

/// The base with the classes of these data, if it says something of texts as a whole.
///
/// # Errors
/// If the data tell more kinds of tokens apart than the model.
pub fn for_labels(base: Base, data: &[&Dataset]) -> Result<Base, DataError> {
    let labelled: Vec<&Labelled> = data.iter().filter_map(|part| part.labelled()).collect();
    let Some(texts) = labelled.first() else { return Ok(base) };
    let found = labelled.iter().map(|part| part.last_type()).max().unwrap_or(0) as usize + 1;
    if found > base.model.types() {
        return Err(DataError::Types { found, known: base.model.types() });
    }
    let score = ["LABEL_0".to_owned()];
    let names = match texts.labels().names() {
        Some(names) => names,
        None if base.model.output() == Output::Score => base.model.labels(),
        None => &score,
    };
    if names == base.model.labels() { Ok(base) } else { Ok(base.with_labels(names)?) }
}

/// The reader of an experiment's data; `wanted` as [`wanted`] says.
///
/// # Errors
/// If its `fields` are none that there are.
pub fn reader<'a>(
    experiment: &Resolved,
    tokenizer: &'a Tokenizer,
    wanted: Option<&Wanted>,
) -> Result<Reader<'a>, DataError> {
    let too_long = match (experiment.truncate, experiment.skip_long) {
        (true, _) => TooLong::Truncate,
        (_, true) => TooLong::Skip,
        _ => TooLong::Refuse,
    };
    let fields = Fields::new(experiment.fields.0.clone()).map_err(DataError::Fields)?;
    Ok(Reader { fields, too_long, labels: wanted.cloned(), ..Reader::new(tokenizer, experiment.tokens) })
}

/// The reasons that there are no data to train on.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The task does not exist, or does not fit the sequences.
    #[error("`tokens` is {tokens}, too few for the task {task}: {reason}")]
    Task {
        /// The task's name.
        task: &'static str,
        /// The number of tokens of a sequence, T.
        tokens: usize,
        /// The reason.
        reason: loralab_data::Error,
    },
    /// The file can't be used as training data.
    #[error("{path}: {reason}")]
    File {
        /// The file's path.
        path: String,
        /// The reason.
        reason: loralab_data::Error,
    },
    /// The data's texts are not for the model.
    #[error(
        "the model says which class a text belongs to, or gives it a score, but {0}; give a file of texts with labels with `--data`"
    )]
    Labels(&'static str),
    /// Tokens of more kinds than the model tells apart.
    #[error(
        "the tokenizer gives the texts of a pair {found} token types, but the model has {known}, the number that `type_vocab_size` of its config.json gives; use the model's own tokenizer, or single texts"
    )]
    Types {
        /// Types in the data.
        found: usize,
        /// Types of the model.
        known: usize,
    },
    /// The model cannot have the data's classes.
    #[error(transparent)]
    Classes(#[from] BaseError),
    /// A role of a field that there is not.
    #[error(transparent)]
    Fields(loralab_data::Error),
    /// The file is not available.
    #[error("the experiment reads `{0}`, which is not here")]
    Missing(String),
}

/// The data of an experiment, the same for every seed, split into a part to train on and one to validate with: a task's data, or those of `file` and, where
/// the experiment names one for it, of `validation`. Only the part to train on is packed. `wanted` as [`wanted`] gives it.
///
/// # Errors
/// If they do not fit the sequences, or are missing.
pub fn data(
    experiment: &Resolved,
    tokenizer: &Tokenizer,
    wanted: Option<&Wanted>,
    file: Option<DataFile<'_>>,
    validation: Option<DataFile<'_>>,
) -> Result<Split, DataError> {
    if wanted.is_some() && experiment.pack {
        return Err(DataError::Labels("`pack` would put several texts into one sequence, which has one label"));
    }
    let mut split = unpacked(experiment, tokenizer, wanted, file, validation)?;
    if experiment.pack {
        split.train = split.train.packed(experiment.tokens);
    }
    Ok(split)
}

fn unpacked(
    experiment: &Resolved,
    tokenizer: &Tokenizer,
    wanted: Option<&Wanted>,
    file: Option<DataFile<'_>>,
    validation: Option<DataFile<'_>>,
) -> Result<Split, DataError> {
    let tokens = experiment.tokens;
    let share = match &experiment.validation {
        HeldOut::Share(share) => Some(*share),
        HeldOut::Path(_) => None,
    };
    match (&experiment.data, file) {
        (Data::Task(_), _) if wanted.is_some() => Err(DataError::Labels("the generated tasks teach a model to write")),
        (Data::Task(task), _) => {
            let examples = Task::find(task.name()).map(|task| task.examples(tokenizer, DATA_SEED, TASK_EXAMPLES));
            let examples = examples.map(|examples| Dataset::Examples(examples.into()));
            let split = examples.and_then(|examples| examples.split(DATA_SEED, share.unwrap_or(HELD_OUT), tokens));
            split.map_err(|reason| DataError::Task { task: task.name(), tokens, reason })
        }
        (Data::Path(_), Some(file)) => {
            let reader = reader(experiment, tokenizer, wanted)?;
            match (&experiment.validation, validation) {
                (HeldOut::Share(share), _) => file.split(&reader, *share),
                (HeldOut::Path(_), Some(validation)) => file.with_validation(validation, &reader),
                (HeldOut::Path(path), None) => Err(DataError::Missing(path.clone())),
            }
        }
        (Data::Path(path), None) => Err(DataError::Missing(path.clone())),
    }
}

/// Everything that the training of an experiment needs.
#[derive(Clone)]
pub struct Prepared {
    /// The frozen model.
    pub base: Base,
    /// The name of the base that adapters record.
    pub base_name: String,
    /// The tokenizer of the model's texts.
    pub tokenizer: Tokenizer,
    /// The data for training and validation.
    pub data: Split,
    /// Bytes of memory that may be used.
    pub available: u64,
    /// The machine that the work is done on.
    pub machine: Machine,
    /// The adapter that runs of the scheme [`GIVEN`](init::GIVEN) continue.
    pub adapter: Option<Arc<Adapter>>,
}

impl Prepared {
    /// The sweep of an experiment.
    ///
    /// # Errors
    /// If the data do not fit the sequences, or the model refuses a setting.
    pub fn sweep<'a>(&'a self, experiment: &'a Resolved) -> Result<Sweep<'a>, SweepError> {
        let sweep = Sweep::new(&self.base, &self.base_name, experiment, &self.data)?.reading(&self.tokenizer);
        match &self.adapter {
            Some(adapter) => sweep.continuing(adapter.clone()),
            None => Ok(sweep),
        }
    }

    /// Cells of the sweep's schemes, split into cohorts that fit in memory.
    ///
    /// # Errors
    /// If a scheme can't start such adapters, or not even one run fits.
    pub fn cohorts(&self, sweep: &Sweep<'_>, cells: &[Cell]) -> Result<Vec<Vec<Cell>>, SweepError> {
        sweep.cohorts_of(cells, |plan| self.needs(plan), self.available)
    }

    /// Makes the start of a cell.
    ///
    /// # Errors
    /// If the scheme can't start such an adapter, memory does not suffice, or a device fails.
    pub async fn compute_start(&self, experiment: &Resolved, cell: &Cell) -> Result<AdapterStart, SweepError> {
        let make_device = |plan, base| self.machine.make(plan, base);
        check_memory(&self.base, experiment, cell, &|plan| self.needs(plan), self.available)?;
        compute_start(&self.base, &self.base_name, experiment, cell, &self.data.train, &make_device).await
    }

    /// The first event of a sweep of `runs` runs; `version` is that of the program.
    pub fn started(&self, experiment: &Resolved, version: &str, runs: usize) -> Event {
        Event::Started {
            version: version.to_owned(),
            device: self.machine.describe(),
            runs,
            steps: experiment.steps,
            schemes: experiment.schemes.clone(),
        }
    }

    /// The tensors of the base that runs with these needs train on.
    pub fn stored(&self, plan_needs: PlanNeeds, experiment: &Resolved) -> Arc<[Tensor]> {
        plan_needs.base(&self.base, &adapters(&self.base, experiment)).tensors
    }

    /// The memory that a plan needs on the device.
    pub fn needs(&self, plan: &Plan) -> Needs {
        self.machine.needs(plan, &self.base.tensors)
    }
}
