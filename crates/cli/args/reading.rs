//! Options for reading the records of a file, for commands that train no experiment.

use clap::Args;
use loralab_experiment::Experiment;

/// Flags that a sweep has as settings.
#[derive(Debug, Args)]
pub struct Reading {
    /// Which field of the records is which, where their names do not say it, separated by commas: prompt=question,completion=reply
    #[arg(long, value_name = "ROLE=FIELD", value_delimiter = ',')]
    pub fields: Option<Vec<String>>,
    /// Cut examples that are longer than a sequence at their end
    #[arg(long, conflicts_with = "skip_long")]
    pub truncate: bool,
    /// Leave examples out that are longer than a sequence
    #[arg(long)]
    pub skip_long: bool,
}

impl Reading {
    /// The flags as settings, laid over `rest`.
    pub fn over(&self, rest: Experiment) -> Experiment {
        Experiment {
            fields: self.fields.clone(),
            truncate: self.truncate.then_some(true),
            skip_long: self.skip_long.then_some(true),
            ..rest
        }
    }
}
