//! The arguments of `loralab init`.

use std::path::PathBuf;

use clap::Args;
use loralab_experiment::{Experiment, Seeds};

use super::{device::DeviceArguments, values::setting};

/// `loralab init`.
#[derive(Debug, Args)]
pub struct InitArguments {
    /// The initialisation scheme; `loralab schemes` lists them
    #[arg(value_name = "SCHEME")]
    pub scheme: String,
    /// Numbers of the scheme that are not to be its defaults, separated by commas: eva.rho=1; `loralab schemes` lists them
    #[arg(long, value_name = "OPTIONS", value_delimiter = ',')]
    pub scheme_options: Option<Vec<String>>,
    /// The frozen model: tiny, nano, or a safetensors file that `loralab pretrain` made
    #[arg(long, value_name = "BASE", default_value = "tiny")]
    pub base: String,
    /// The folder to write, in PEFT's layout: adapter_config.json and adapter_model.safetensors, with a README.md that says how PEFT trains it; it must be new
    /// or empty
    #[arg(long, value_name = "FOLDER")]
    pub output: PathBuf,
    /// Take the start out of the weights: a plain adapter of rank r, and beside it the base that it belongs to. Otherwise a start that is taken out (pissa,
    /// lora-ga, …) is an adapter of rank 2r for the untouched base, whose second half must be kept from training by the lines in its README.md
    #[arg(long)]
    pub residual_base: bool,
    /// Inner size r of the adapter [default: 8]
    #[arg(long, value_name = "R", value_parser = setting::<usize>("rank"))]
    pub rank: Option<usize>,
    /// Numerator of the adapter's scale [default: 16]
    #[arg(long, value_name = "ALPHA", value_parser = setting::<f64>("alpha"))]
    pub alpha: Option<f64>,
    /// classic divides alpha by r, rslora by the root of r [default: classic]
    #[arg(long, value_name = "NAME")]
    pub scaling: Option<String>,
    /// The linear maps that carry an adapter, separated by commas, or all-linear [default: all-linear]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub target_modules: Option<Vec<String>>,
    /// Fixes the adapter's draw, and the data that are read [default: 0]
    #[arg(long, value_name = "N", value_parser = setting::<u64>("seeds"))]
    pub seed: Option<u64>,
    /// What a start that reads data is shown: a task [default: translation]
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,
    /// The same: a text, or lines of {"prompt": "...", "completion": "..."}
    #[arg(long, value_name = "PATH", conflicts_with = "task")]
    pub data: Option<String>,
    /// Length of the sequences of data [default: 64]
    #[arg(long, alias = "max-seq-length", value_name = "T", value_parser = setting::<usize>("tokens"))]
    pub tokens: Option<usize>,
    /// Sequences in each batch of data [default: 8]
    #[arg(long, value_name = "B", value_parser = setting::<usize>("batch_size"))]
    pub batch_size: Option<usize>,
    #[command(flatten)]
    pub device: DeviceArguments,
}

impl InitArguments {
    /// The one start as settings.
    pub fn experiment(&self) -> Experiment {
        Experiment {
            base: Some(self.base.clone()),
            schemes: Some(vec![self.scheme.clone()]),
            scheme_options: self.scheme_options.clone(),
            seeds: Some(Seeds::List(vec![self.seed.unwrap_or(0)])),
            learning_rates: Some(vec![1e-3]),
            rank: self.rank,
            alpha: self.alpha,
            scaling: self.scaling.clone(),
            target_modules: self.target_modules.clone(),
            task: self.task.clone(),
            data: self.data.clone(),
            tokens: self.tokens,
            batch_size: self.batch_size,
            ..Experiment::default()
        }
    }
}
