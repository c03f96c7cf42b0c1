//! What command and worker both begin with: an experiment, and the files that it names as bytes, become everything that a training needs.

use std::sync::Arc;

use loralab_data::{Dataset, HELD_OUT, Split, Task};
use loralab_experiment::{Cell, Data, Event, Experiment, ExperimentError, Resolved};

use super::{AdapterStart, PlanNeeds, Sweep, SweepError, adapters, begin, check_memory};
use crate::{
    device::{Machine, Needs},
    graph::{memory::Tensor, plan::Plan},
    lora::init,
    models::Base,
};

/// Examples that a task is made of, those held out included.
const TASK_EXAMPLES: usize = 4096;
/// Fixes these examples, and what is held out of any data.
const DATA_SEED: u64 = 0;

/// The experiment with every setting at hand, checked.
///
/// # Errors
/// In a sentence that names the setting.
pub fn resolve(experiment: &Experiment) -> Result<Resolved, ExperimentError> {
    let schemes: Vec<&str> = init::ALL.iter().map(|scheme| scheme.name).collect();
    experiment.resolve(&schemes)
}

/// The file that an experiment's `data` name.
#[derive(Clone, Copy, Debug)]
pub struct DataFile<'a> {
    /// Its path in words.
    pub path: &'a str,
    /// Whether the end of the path says what it holds; it does not where it is a pipe.
    pub is_named: bool,
    /// Its bytes.
    pub bytes: &'a [u8],
}

impl DataFile<'_> {
    /// What it holds, for sequences of so many tokens, in a part to train on and one to validate with.
    ///
    /// # Errors
    /// If it can't be learnt, or does not fit.
    pub fn split(self, tokens: usize) -> Result<Split, DataError> {
        let DataFile { path, is_named, bytes } = self;
        let dataset = if is_named { Dataset::file(path, bytes, tokens) } else { Dataset::unnamed(bytes, tokens) };
        let split = dataset.and_then(|dataset| dataset.split(DATA_SEED, HELD_OUT, tokens));
        split.map_err(|reason| DataError::File { path: path.to_owned(), reason })
    }
}

/// Why there are no data to train on.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A task that does not exist, or does not fit the sequences.
    #[error("`tokens` is {tokens}, too few for the task {task}: {reason}")]
    Task {
        /// Its name.
        task: &'static str,
        /// T.
        tokens: usize,
        /// What is wrong.
        reason: loralab_data::Error,
    },
    /// A file that can't be learnt.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// What is wrong.
        reason: loralab_data::Error,
    },
    /// A file that is not at hand.
    #[error("the experiment learns `{0}`, which is not here")]
    Missing(String),
}

/// The data of an experiment, the same for every seed of a run, in a part to train on and one to validate with: a task's, or those of `file`.
///
/// # Errors
/// If they do not fit the sequences, or are missing.
pub fn data(experiment: &Resolved, file: Option<DataFile<'_>>) -> Result<Split, DataError> {
    let tokens = experiment.tokens;
    match (&experiment.data, file) {
        (Data::Task(task), _) => {
            let examples = Task::find(task.name()).map(|task| task.examples(DATA_SEED, TASK_EXAMPLES));
            let examples = examples.and_then(|examples| Dataset::Examples(examples).split(DATA_SEED, HELD_OUT, tokens));
            examples.map_err(|reason| DataError::Task { task: task.name(), tokens, reason })
        }
        (Data::Path(_), Some(file)) => file.split(tokens),
        (Data::Path(path), None) => Err(DataError::Missing(path.clone())),
    }
}

/// Everything that training an experiment needs.
#[derive(Clone)]
pub struct Prepared {
    /// The frozen model.
    pub base: Base,
    /// What adapters call it.
    pub base_name: String,
    /// What is trained on and validated with.
    pub data: Split,
    /// Bytes that may be used.
    pub available: u64,
    /// Where the work is done.
    pub machine: Machine,
}

impl Prepared {
    /// The sweep of an experiment.
    ///
    /// # Errors
    /// If the data do not fit the sequences, or the model refuses a setting.
    pub fn sweep<'a>(&'a self, experiment: &'a Resolved) -> Result<Sweep<'a>, SweepError> {
        Sweep::new(&self.base, &self.base_name, experiment, &self.data)
    }

    /// Cells of the sweep's schemes, cut into cohorts that fit in memory.
    ///
    /// # Errors
    /// If a scheme can't start such adapters, or not even one run fits.
    pub fn cohorts(&self, sweep: &Sweep<'_>, cells: &[Cell]) -> Result<Vec<Vec<Cell>>, SweepError> {
        sweep.cohorts_of(cells, |plan| self.needs(plan), self.available)
    }

    /// The start of a cell.
    ///
    /// # Errors
    /// If the scheme can't start such an adapter, memory does not suffice, or a device fails.
    pub async fn begin(&self, experiment: &Resolved, cell: &Cell) -> Result<AdapterStart, SweepError> {
        let make_device = |plan, base| self.machine.make(plan, base);
        check_memory(&self.base, experiment, cell, &|plan| self.needs(plan), self.available)?;
        begin(&self.base, &self.base_name, experiment, cell, &self.data.train, &make_device).await
    }

    /// The first event of a sweep of so many runs; `version` is that of the program.
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

    /// What a plan needs of the device.
    pub fn needs(&self, plan: &Plan) -> Needs {
        self.machine.needs(plan, &self.base.tensors)
    }
}
