//! The arguments that say where the results of a training go, and what of it is shown.

use std::path::PathBuf;

use clap::Args;

/// The flags of the results folder and the output.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// The results folder; it must be new or empty
    #[arg(long, value_name = "FOLDER", default_value = "results")]
    pub output: PathBuf,
    /// Replace the results that the folder holds; other files in it are kept
    #[arg(long)]
    pub overwrite: bool,
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
