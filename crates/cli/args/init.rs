//! The arguments of `loralab init`.

use std::path::PathBuf;

use clap::Args;
use loralab_experiment::{Bytes, Experiment, Seeds};

use super::{device::DeviceArguments, reading::Reading, values::setting};

/// `loralab init`.
#[derive(Debug, Args)]
pub struct InitArguments {
    /// The initialisation scheme; `loralab schemes` lists them
    #[arg(value_name = "SCHEME")]
    pub scheme: String,
    /// Options of the scheme other than the defaults, separated by commas: eva.rho=1; `loralab schemes` lists them
    #[arg(long, value_name = "OPTIONS", value_delimiter = ',')]
    pub scheme_options: Option<Vec<String>>,
    /// The frozen model: tiny, nano, a Hugging Face folder, a safetensors or GGUF file, or a name like HuggingFaceTB/SmolLM2-135M that `hf download` has
    /// fetched
    #[arg(long, value_name = "BASE", default_value = "tiny")]
    pub base: String,
    /// Keep the weights of all linear maps that can carry adapters in few bits, and make the start for them: int8, nf4 or none; embeddings, head, norms and
    /// biases stay as they are stored [default: none]
    #[arg(long, value_name = "NAME")]
    pub quantize: Option<String>,
    /// The folder to write, in PEFT's layout: adapter_config.json and adapter_model.safetensors, with instructions for PEFT in a README.md; it must be new
    /// or empty
    #[arg(long, value_name = "FOLDER")]
    pub output: PathBuf,
    /// Subtract the start from the weights: writes a plain adapter of rank r, and the changed base beside it. Without this flag, a start that is subtracted
    /// (pissa, lora-ga, …) is an adapter of rank 2r for the unchanged base, whose second half the lines in its README.md keep from training
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
    /// The linear maps that carry an adapter: names or ends of names separated by commas, a regular expression of full names, or all-linear [default: all-linear]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub target_modules: Option<Vec<String>>,
    /// Of these, the linear maps that carry no adapter, named in the same way
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub exclude_modules: Option<Vec<String>>,
    /// The layers that carry adapters, counted from 0, separated by commas [default: all layers]
    #[arg(long, value_name = "LAYERS", value_delimiter = ',')]
    pub layers_to_transform: Option<Vec<usize>>,
    /// The names in front of a layer's index, for models that number other parts too
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "layers_to_transform")]
    pub layers_pattern: Option<Vec<String>>,
    /// Modules whose adapters have a rank of their own, separated by commas: q_proj=4,down_proj=16; a name is one's end or a regular expression of full names,
    /// and the first that fits counts
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    pub rank_pattern: Option<Vec<String>>,
    /// Modules whose adapters have an alpha of their own, in the same way: q_proj=32
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    pub alpha_pattern: Option<Vec<String>>,
    /// Seed of the adapter's random numbers and of the data that are read [default: 0]
    #[arg(long, value_name = "N", value_parser = setting::<u64>("seeds"))]
    pub seed: Option<u64>,
    /// The task whose data a start reads, if it reads any [default: translation]
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,
    /// Data from a file instead of a task: a text, or records in JSON lines, JSON, CSV, TSV or Parquet; - reads from stdin
    #[arg(long, value_name = "PATH", conflicts_with = "task")]
    pub data: Option<String>,
    #[command(flatten)]
    pub reading: Reading,
    /// Length of the sequences of data [default: 64]
    #[arg(long, alias = "max-seq-length", value_name = "T", value_parser = setting::<usize>("tokens"))]
    pub tokens: Option<usize>,
    /// Sequences in each batch of data [default: 8]
    #[arg(long, value_name = "B", value_parser = setting::<usize>("batch_size"))]
    pub batch_size: Option<usize>,
    /// Memory to use at most, such as 2GiB [default: half of what is free]
    #[arg(long, value_name = "BYTES")]
    pub memory: Option<Bytes>,
    #[command(flatten)]
    pub device: DeviceArguments,
}

impl InitArguments {
    /// The settings of this start.
    pub fn experiment(&self) -> Experiment {
        self.reading.over(Experiment {
            base: Some(self.base.clone()),
            quantize: self.quantize.clone(),
            schemes: Some(vec![self.scheme.clone()]),
            scheme_options: self.scheme_options.clone(),
            seeds: Some(Seeds::List(vec![self.seed.unwrap_or(0)])),
            learning_rates: Some(vec![1e-3]),
            rank: self.rank,
            alpha: self.alpha,
            scaling: self.scaling.clone(),
            target_modules: self.target_modules.clone(),
            exclude_modules: self.exclude_modules.clone(),
            layers_to_transform: self.layers_to_transform.clone(),
            layers_pattern: self.layers_pattern.clone(),
            rank_pattern: self.rank_pattern.clone(),
            alpha_pattern: self.alpha_pattern.clone(),
            task: self.task.clone(),
            data: self.data.clone(),
            tokens: self.tokens,
            batch_size: self.batch_size,
            memory: self.memory,
            ..Experiment::default()
        })
    }
}
