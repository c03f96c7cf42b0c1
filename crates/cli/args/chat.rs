//! The arguments of `loralab chat`.

use std::path::PathBuf;

use clap::Args;
use loralab_experiment::Quantize;

use super::{
    device::DeviceArguments,
    values::{at_least_1, not_negative, probability, quantize, setting},
};

/// `loralab chat`.
#[derive(Debug, Args)]
pub struct ChatArguments {
    /// The base: tiny, nano, a Hugging Face folder, a safetensors or GGUF file, or a name in the cache of Hugging Face's hub [default: the first adapter's own, or tiny]
    #[arg(long, visible_alias = "model", value_name = "BASE")]
    pub base: Option<String>,
    /// Keep the weights of all linear maps that can carry adapters in few bits: int8, nf4 or none; embeddings, head, norms and biases stay as they are stored
    /// [default: as the adapters were trained, or none]
    #[arg(long, value_name = "NAME", value_parser = quantize)]
    pub quantize: Option<Quantize>,
    /// A folder in PEFT's layout that answers beside the base; may be given several times
    #[arg(long, value_name = "FOLDER")]
    pub adapter: Vec<PathBuf>,
    /// System message before the conversation, for models whose chat template knows such messages
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// Most tokens of an answer
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
    /// CPU threads [default: all]
    #[arg(long, value_name = "N", value_parser = setting::<usize>("threads"))]
    pub threads: Option<usize>,
    #[command(flatten)]
    pub device: DeviceArguments,
}
