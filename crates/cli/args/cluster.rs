//! The arguments of `loralab cluster`.

use clap::{Args, ValueEnum};

use super::{sweep::SweepArguments, values::at_least_1};

/// `loralab cluster`.
#[derive(Debug, Args)]
pub struct ClusterArguments {
    /// The engine that places the parts on machines, and starts them again where one fails
    #[arg(value_name = "ENGINE")]
    pub engine: Engine,
    /// The number of parts that the grid is trained in; each takes one GPU with `--device gpu`, and the processors that `--threads` says, else 4
    #[arg(long, value_name = "N", value_parser = at_least_1, help_heading = "The job")]
    pub parts: usize,
    #[command(flatten)]
    pub sweep: SweepArguments,
}

/// An engine that places processes on the machines of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// A job array and a job that collects, as a script for `sbatch`
    Slurm,
    /// A driver in Python
    Ray,
    /// An Indexed Job, and a Job that collects
    Kubernetes,
    /// A managed job
    Skypilot,
}
