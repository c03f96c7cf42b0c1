//! The arguments of `loralab sweep` and `loralab train`.

use std::path::PathBuf;

use clap::Args;
use loralab_experiment::{Experiment, Seeds};

use super::{
    device::DeviceArguments,
    experiment::{Grid, Length, Settings},
    output::Output,
    shard::Shard,
    values::one_of,
};

/// `loralab sweep`.
#[derive(Debug, Args)]
pub struct SweepArguments {
    #[command(flatten)]
    pub grid: Grid,
    /// Train only the I-th of N parts of the grid, in a folder of its own within the results folder; `loralab collect` makes one result of the parts. auto takes I and N
    /// from Slurm, auto/N takes I from Kubernetes or SkyPilot
    #[arg(long, value_name = "I/N", help_heading = "The grid")]
    pub shard: Option<Shard>,
    /// Go on where the results folder stands if this command began it before, else begin: for an engine that starts a job again. Waits while another process writes there
    #[arg(long, help_heading = "Output", conflicts_with_all = ["resume", "overwrite", "dry_run"])]
    pub auto_resume: bool,
    #[command(flatten)]
    pub settings: Settings,
    #[command(flatten)]
    pub length: Length,
    #[command(flatten)]
    pub device: DeviceArguments,
    #[command(flatten)]
    pub output: Output,
}

/// `loralab train`.
#[derive(Debug, Args)]
pub struct TrainArguments {
    /// The initialisation scheme; `loralab schemes` lists them [default: init-a]
    #[arg(long, value_name = "NAME", help_heading = "The run")]
    pub scheme: Option<String>,
    /// Options of the scheme other than the defaults, separated by commas: eva.rho=1; `loralab schemes` lists them
    #[arg(long, value_name = "OPTIONS", value_delimiter = ',', help_heading = "The run")]
    pub scheme_options: Option<Vec<String>>,
    /// An adapter to train further instead of a new one: a folder in PEFT's layout, of this program or of PEFT. Its rank, alpha and modules are kept
    #[arg(
        long,
        value_name = "FOLDER",
        help_heading = "The run",
        conflicts_with_all = [
            "scheme", "scheme_options", "rank", "alpha", "scaling", "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "rank_pattern",
            "alpha_pattern",
        ]
    )]
    pub adapter: Option<PathBuf>,
    /// The peak learning rate [default: 4e-3]
    #[arg(long, value_name = "RATE", help_heading = "The run", value_parser = one_of::<f64>("learning_rates"))]
    pub learning_rate: Option<f64>,
    /// Fixes the adapter's draw and the data order [default: 0]
    #[arg(long, value_name = "N", help_heading = "The run", value_parser = one_of::<u64>("seeds"))]
    pub seed: Option<u64>,
    #[command(flatten)]
    pub settings: Settings,
    #[command(flatten)]
    pub length: Length,
    #[command(flatten)]
    pub device: DeviceArguments,
    #[command(flatten)]
    pub output: Output,
}

impl TrainArguments {
    /// The one cell as settings, laid over `rest`.
    pub fn over(&self, rest: Experiment) -> Experiment {
        Experiment {
            schemes: self.scheme.clone().map(|scheme| vec![scheme]),
            scheme_options: self.scheme_options.clone(),
            learning_rates: self.learning_rate.map(|rate| vec![rate]),
            seeds: self.seed.map(|seed| Seeds::List(vec![seed])),
            ..rest
        }
    }
}
