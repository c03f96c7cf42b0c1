//! The arguments of `loralab collect`.

use std::path::PathBuf;

use clap::Args;

/// `loralab collect`.
#[derive(Debug, Args)]
pub struct CollectArguments {
    /// The results folders of the parts of one sweep
    #[arg(value_name = "FOLDERS", required = true)]
    pub folders: Vec<PathBuf>,
    /// The folder of the whole results; it must be new or empty
    #[arg(long, value_name = "FOLDER")]
    pub output: PathBuf,
    /// Replace the results that the folder holds; other files in it are kept
    #[arg(long)]
    pub overwrite: bool,
}
