//! The arguments of `loralab eval`.

use std::path::PathBuf;

use clap::Args;
use loralab_experiment::{Bytes, Experiment, Quantize};

use super::{
    device::DeviceArguments,
    reading::Reading,
    values::{at_least_1, quantize, setting},
};

/// `loralab eval`.
#[derive(Debug, Args)]
pub struct EvalArguments {
    /// The base: tiny, nano, a Hugging Face folder, a safetensors or GGUF file, or a name in the cache of Hugging Face's hub [default: the first adapter's own, or tiny]
    #[arg(long, visible_alias = "model", value_name = "BASE")]
    pub base: Option<String>,
    /// Keep the weights of all linear maps that can carry adapters in few bits: int8, nf4 or none; embeddings, head, norms and biases stay as they are stored
    /// [default: as the adapters were trained, or none]
    #[arg(long, value_name = "NAME", value_parser = quantize)]
    pub quantize: Option<Quantize>,
    /// A folder in PEFT's layout that is evaluated beside the base; may be given several times
    #[arg(long, value_name = "FOLDER")]
    pub adapter: Vec<PathBuf>,
    /// The data, all of them: a text, or records in JSON lines, JSON, CSV, TSV or Parquet; - reads from stdin
    #[arg(long, value_name = "PATH", conflicts_with = "task", required_unless_present = "task")]
    pub data: Option<String>,
    /// A task instead of a file, whose held-out part is used
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,
    #[command(flatten)]
    pub reading: Reading,
    /// Length of the sequences [default: that of the longest example; of a text 512; at most what the base was trained on]
    #[arg(long, alias = "max-seq-length", value_name = "T", value_parser = setting::<usize>("tokens"))]
    pub tokens: Option<usize>,
    /// Sequences in a pass
    #[arg(long, value_name = "B", default_value_t = 8, value_parser = setting::<usize>("batch_size"))]
    pub batch_size: usize,
    /// Examples, or sequences of a text, at most: spread evenly over the data [default: all]
    #[arg(long, visible_alias = "limit", value_name = "N", value_parser = at_least_1)]
    pub examples: Option<usize>,
    /// Let each model write the answers of at most so many examples, and compare them: of an answer with `#### ` the number behind it, else the whole. Without this
    /// flag, whole answers are compared all the same, since the pass over the data says whether each would be written
    #[arg(long, value_name = "N", value_parser = at_least_1)]
    pub exact_match: Option<usize>,
    /// Most tokens of an answer that is written
    #[arg(long, visible_alias = "max-new-tokens", value_name = "N", default_value_t = 256)]
    pub count: usize,
    /// Print one object of JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Memory to use at most, such as 2GiB [default: half of what is free]
    #[arg(long, value_name = "BYTES")]
    pub memory: Option<Bytes>,
    /// CPU threads [default: all]
    #[arg(long, value_name = "N", value_parser = setting::<usize>("threads"))]
    pub threads: Option<usize>,
    #[command(flatten)]
    pub device: DeviceArguments,
}

impl EvalArguments {
    /// The settings of the data, for sequences of so many tokens.
    pub fn experiment(&self, tokens: usize) -> Experiment {
        self.reading.over(Experiment {
            task: self.task.clone(),
            data: self.data.clone(),
            tokens: Some(tokens),
            batch_size: Some(self.batch_size),
            memory: self.memory,
            ..Experiment::default()
        })
    }
}
