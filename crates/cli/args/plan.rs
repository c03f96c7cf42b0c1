//! The arguments of `loralab plan`.

use clap::Args;

use super::{
    device::DeviceArguments,
    experiment::{Grid, Settings},
    values::size,
};

/// `loralab plan`.
#[derive(Debug, Args)]
pub struct PlanArguments {
    /// Runs of the cohort [default: those of the first cohort that the sweep would train]
    #[arg(long, value_name = "K", value_parser = size)]
    pub runs: Option<usize>,
    #[command(flatten)]
    pub grid: Grid,
    #[command(flatten)]
    pub settings: Settings,
    #[command(flatten)]
    pub device: DeviceArguments,
}
