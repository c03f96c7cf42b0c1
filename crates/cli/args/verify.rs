//! The arguments of `loralab verify`.

use clap::Args;

use super::{
    device::DeviceArguments,
    experiment::{Grid, Settings},
};

/// `loralab verify`.
#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// Print every kernel with its largest error
    #[arg(long)]
    pub list: bool,
    #[command(flatten)]
    pub device: DeviceArguments,
    #[command(flatten)]
    pub grid: Grid,
    #[command(flatten)]
    pub settings: Settings,
}
