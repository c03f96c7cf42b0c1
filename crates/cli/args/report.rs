//! The arguments of `loralab report`.

use std::path::PathBuf;

use clap::Args;

/// `loralab report`.
#[derive(Debug, Args)]
pub struct ReportArguments {
    /// The results folder of a sweep or a reproduction
    #[arg(value_name = "RESULTS")]
    pub results: PathBuf,
}
