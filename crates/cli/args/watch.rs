//! The arguments of `loralab watch`.

use std::path::PathBuf;

use clap::Args;

use super::values::positive;

/// `loralab watch`.
#[derive(Debug, Args)]
pub struct WatchArguments {
    /// The results folders of a sweep, or of its parts, which are shown as one; also copies that are synchronised from another machine
    #[arg(value_name = "FOLDERS", required = true)]
    pub folders: Vec<PathBuf>,
    /// Show it once and end, which is what happens without a terminal
    #[arg(long)]
    pub once: bool,
    /// Seconds between two looks at the folders
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = positive)]
    pub every: f64,
}
