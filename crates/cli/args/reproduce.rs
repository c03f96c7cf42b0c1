//! The arguments of `loralab reproduce`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use loralab_experiment::{Bytes, Form, Readout};

use super::{
    device::DeviceArguments,
    experiment::{Grid, Settings},
    values::{not_negative, positive},
};

/// A reproduction to run.
#[derive(Debug, Subcommand)]
pub enum Reproduce {
    /// The single-layer theory: exponents of width for both starts and rates, and the dependence of the largest stable rate on width and rank
    Exponents(ExponentsArguments),
    /// The teacher and its students: the best learning rate of each start against width, and the norms of the LoRA features
    Toy(ToyArguments),
    /// The schemes init-a and init-b on the shipped base over a fine grid: the rate where their curves cross, and each one's best and largest stable rate
    Crossing(CrossingArguments),
    /// The best learning rate of each start on decoders of several widths, which it pretrains, and on the shipped base
    Transformer(TransformerArguments),
    /// The largest eigenvalue of the Hessian at each start, the learning rate it implies, and a sweep to compare with
    Curvature(CurvatureArguments),
}

/// The flags of the results folder and the output.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct ReproduceOutput {
    /// The results folder; it must be new or empty [default: results]
    #[arg(long, value_name = "FOLDER", default_value = "results", hide_default_value = true)]
    pub output: PathBuf,
    /// Replace the results that the folder holds; other files in it are kept
    #[arg(long)]
    pub overwrite: bool,
    /// Go on where this results folder stands, with the settings that it was begun with
    #[arg(long, value_name = "FOLDER")]
    pub resume: Option<PathBuf>,
    /// Minutes between saves of the state of a sweep that `--resume` goes on from; it is also saved at a stop and between cohorts. 0 for only then
    #[arg(long, value_name = "MINUTES", default_value = "5", value_parser = not_negative)]
    pub save_every: f64,
    /// Show no progress, only the result
    #[arg(long)]
    pub quiet: bool,
    /// Write the summary to stdout as JSON, and nothing else
    #[arg(long)]
    pub json: bool,
}

/// `loralab reproduce exponents`.
#[derive(Debug, Args)]
pub struct ExponentsArguments {
    /// The widest layer, a power of two; the narrowest has 128 columns
    #[arg(long, value_name = "N", default_value_t = 1 << 15)]
    pub widest: usize,
    /// Number of seeds, from 0; each is a separate layer
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub seeds: u64,
    /// Inner size r
    #[arg(long, value_name = "R", default_value_t = 4)]
    pub rank: usize,
    /// Steps before the quantities are measured, at least 3; earlier, one factor has not changed
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub steps: usize,
    /// c in the learning rate c n^-1/2 or c n^-1
    #[arg(long, value_name = "C", default_value = "1", value_parser = positive)]
    pub constant: f64,
    #[command(flatten)]
    pub output: ReproduceOutput,
}

/// `loralab reproduce toy`.
#[derive(Debug, Args)]
pub struct ToyArguments {
    /// The widest students, a power of two; the narrowest have 128 hidden columns
    #[arg(long, value_name = "N", default_value_t = 1 << 13)]
    pub widest: usize,
    /// Number of seeds, from 0; each gives a student's frozen weights and start
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub seeds: u64,
    /// Full-batch steps
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub steps: usize,
    /// residual: W_out φ(u + B A φ(u)) with u = W_in x; plain: W_out φ(B A φ(u)), which cannot learn
    #[arg(long, value_name = "FORM", default_value = "residual", value_parser = Form::named)]
    pub form: Form,
    /// Variances of the students' readout, separated by commas: standard is 1/n, mean-field 1/n²
    #[arg(long, value_name = "NAMES", default_value = "standard,mean-field", value_delimiter = ',', value_parser = Readout::named)]
    pub readouts: Vec<Readout>,
    /// Memory to use at most, such as 2GiB [default: half of what is free]
    #[arg(long, value_name = "BYTES")]
    pub memory: Option<Bytes>,
    /// CPU threads; no result depends on them [default: all]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    #[command(flatten)]
    pub device: DeviceArguments,
    #[command(flatten)]
    pub output: ReproduceOutput,
}

/// `loralab reproduce crossing`: a sweep over a finer grid than `sweep`'s.
#[derive(Debug, Args)]
pub struct CrossingArguments {
    #[command(flatten)]
    pub grid: Grid,
    #[command(flatten)]
    pub settings: Settings,
    #[command(flatten)]
    pub device: DeviceArguments,
    #[command(flatten)]
    pub output: ReproduceOutput,
}

/// `loralab reproduce transformer`: sweeps the shipped base over a fine grid, and decoders of several widths over searched rates.
#[derive(Debug, Args)]
pub struct TransformerArguments {
    /// The widths of the decoders to pretrain, separated by commas: multiples of 16
    #[arg(long, value_name = "NS", default_value = "32,64,128", value_delimiter = ',')]
    pub widths: Vec<usize>,
    /// Layers of these decoders
    #[arg(long, value_name = "L", default_value_t = 2)]
    pub layers: usize,
    /// Steps of each pretraining
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub pretraining_steps: usize,
    #[command(flatten)]
    pub grid: Grid,
    #[command(flatten)]
    pub settings: Settings,
    #[command(flatten)]
    pub device: DeviceArguments,
    #[command(flatten)]
    pub output: ReproduceOutput,
}

/// `loralab reproduce curvature`: the Hessian's largest eigenvalue at each start, and a sweep to compare with.
#[derive(Debug, Args)]
pub struct CurvatureArguments {
    /// Training batches over whose mean loss the Hessian is taken
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub batches: usize,
    /// Most products with the Hessian per start; fewer if both ends of its spectrum converge sooner. They are computed in f64 on the CPU, whatever the
    /// device
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub products: usize,
    #[command(flatten)]
    pub grid: Grid,
    #[command(flatten)]
    pub settings: Settings,
    #[command(flatten)]
    pub device: DeviceArguments,
    #[command(flatten)]
    pub output: ReproduceOutput,
}
