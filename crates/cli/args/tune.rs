//! The arguments of `loralab tune`.

use std::path::PathBuf;

use clap::{Args, Command};
use loralab_experiment::Work;

use super::{
    device::DeviceArguments,
    experiment::{Grid, Length, Settings},
    values::not_negative,
};

/// `loralab tune`.
#[derive(Debug, Args)]
pub struct TuneArguments {
    /// The work that it may take: a time, such as 90min, 2h or 1d, or a number of steps of single runs, such as 20000steps
    #[arg(
        long,
        value_name = "BUDGET",
        help_heading = "The search",
        required_unless_present = "resume",
        value_parser = |text: &str| text.parse::<Work>()
    )]
    pub budget: Option<Work>,
    #[command(flatten)]
    pub grid: Grid,
    #[command(flatten)]
    pub settings: Settings,
    #[command(flatten)]
    pub length: Length,
    #[command(flatten)]
    pub device: DeviceArguments,
    #[command(flatten)]
    pub output: TuneOutput,
}

/// The flags of the results folder and the output.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct TuneOutput {
    /// The results folder; it must be new or empty
    #[arg(long, value_name = "FOLDER", default_value = "tuned")]
    pub output: PathBuf,
    /// Go on where this results folder stands, with the settings that it was begun with. A larger `--budget` goes on from what is known
    #[arg(long, value_name = "FOLDER")]
    pub resume: Option<PathBuf>,
    /// Minutes between saves of the state that `--resume` goes on from; it is also saved at a stop and between cohorts. 0 for only then
    #[arg(long, value_name = "MINUTES", default_value = "5", value_parser = not_negative)]
    pub save_every: f64,
    /// Show no progress, only the result
    #[arg(long)]
    pub quiet: bool,
}

/// The command with the flags of a sweep's grid as this one takes them.
pub fn with_own_grid(command: Command) -> Command {
    command.mut_subcommand("tune", |tune| {
        let tune =
            tune.mut_arg("learning_rates", |rates| rates.help("auto, which it is anyway: rates are searched for"));
        tune.mut_arg("seeds", |seeds| {
            seeds.help("Number of seeds that the best rates get at most, or a list such as 0,7 [default: 5]")
        })
    })
}
