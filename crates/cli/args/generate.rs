//! The arguments of `loralab generate`.

use std::path::PathBuf;

use clap::Args;
use loralab_experiment::Quantize;

use super::{
    device::DeviceArguments,
    values::{at_least_1, not_negative, probability, quantize, setting},
};

/// `loralab generate`.
#[derive(Debug, Args)]
pub struct GenerateArguments {
    /// The base: tiny, nano, a Hugging Face folder, a safetensors or GGUF file, or a name in the cache of Hugging Face's hub [default: the adapter's own, or tiny]
    #[arg(long, value_name = "BASE")]
    pub base: Option<String>,
    /// Keep the weights of all linear maps that can carry adapters in few bits: int8, nf4 or none; embeddings, head, norms and biases stay as they are stored
    /// [default: as the adapters were trained, or none]
    #[arg(long, value_name = "NAME", value_parser = quantize)]
    pub quantize: Option<Quantize>,
    /// A folder in PEFT's layout: adapter_config.json and adapter_model.safetensors
    #[arg(long, value_name = "FOLDER")]
    pub adapter: Option<PathBuf>,
    /// The text to go on from; without it, stdin is read. Only what follows it is printed
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// Most tokens to write; of a base that reads bytes, a token is a byte
    #[arg(long, visible_alias = "max-new-tokens", value_name = "N", default_value_t = 200)]
    pub count: usize,
    /// 0 takes the likeliest token each time, 1 draws as the model says, between is in between
    #[arg(long, value_name = "X", default_value = "0", value_parser = not_negative)]
    pub temperature: f64,
    /// Draw from so many of the likeliest tokens only; matters above temperature 0
    #[arg(long, value_name = "N", value_parser = at_least_1)]
    pub top_k: Option<usize>,
    /// Draw from the likeliest tokens that together are this probable only; matters above temperature 0
    #[arg(long, value_name = "P", default_value = "1", value_parser = probability)]
    pub top_p: f64,
    /// Seed of the draws; matters above temperature 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// End at the first newline: an adapter trained on a task or on JSON lines ends its answers with one
    #[arg(long)]
    pub stop_at_newline: bool,
    /// CPU threads [default: all]
    #[arg(long, value_name = "N", value_parser = setting::<usize>("threads"))]
    pub threads: Option<usize>,
    #[command(flatten)]
    pub device: DeviceArguments,
}
