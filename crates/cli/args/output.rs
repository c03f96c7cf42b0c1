//! The arguments that say where the results of a training go, and what of it is shown.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::values::{at_least_1, not_negative};

/// A tool that shows sweeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Tracker {
    /// Event files of each run
    Tensorboard,
    /// A journal of a study
    Optuna,
}

/// The flags of the results folder and the output.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// The results folder; it must be new or empty
    #[arg(long, value_name = "FOLDER", default_value = "results")]
    pub output: PathBuf,
    /// Replace the results that the folder holds; other files in it are kept
    #[arg(long)]
    pub overwrite: bool,
    /// Go on where this results folder stands, with the settings that it was begun with. Longer lists of `--schemes`, `--learning-rates` and `--seeds` train
    /// only what is missing
    #[arg(long, value_name = "FOLDER")]
    pub resume: Option<PathBuf>,
    /// Minutes between saves of the state that `--resume` goes on from; it is also saved at a stop and between cohorts. 0 for only then
    #[arg(long, value_name = "MINUTES", default_value = "5", value_parser = not_negative)]
    pub save_every: f64,
    /// Keep, beside the adapter of each run's last step, the one with the lowest loss of all validations, in `adapters/RUN/best`; `summary.json` has the steps.
    /// Needs validations during the training: `--evaluate-every`. Like load_best_model_at_end in Transformers
    #[arg(long, visible_alias = "load-best-model-at-end")]
    pub keep_best: bool,
    /// Let each run write the answers of at most so many held-out examples when it has ended, and compare the numbers behind `#### `, as `eval` does: for data such as
    /// GSM8K's. The accuracy is then the share of right ones
    #[arg(long, value_name = "N", value_parser = at_least_1)]
    pub exact_match: Option<usize>,
    /// Write the sweep for other tools, too, separated by commas: tensorboard (a folder for `tensorboard --logdir`) or optuna (`optuna.journal`, for its JournalStorage)
    #[arg(long, value_name = "TOOLS", value_enum, value_delimiter = ',', hide_possible_values = true)]
    pub log: Vec<Tracker>,
    /// Show no progress, only the result
    #[arg(long)]
    pub quiet: bool,
    /// Write every event to stdout as a line of JSON, and nothing else
    #[arg(long)]
    pub json: bool,
    /// Say what would be trained and what memory that takes; train and write nothing
    #[arg(long, conflicts_with = "json")]
    pub dry_run: bool,
}
