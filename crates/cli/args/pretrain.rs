//! The arguments of `loralab pretrain`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::{
    reading::Reading,
    values::{at_least_1, not_negative, positive, setting, size},
};

/// Sizes of the shipped bases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Size {
    /// 4 layers, width 96, 4 heads, feed-forward 256
    Tiny,
    /// 2 layers, width 32, 2 heads, feed-forward 80
    Nano,
}

/// `loralab pretrain`.
#[derive(Debug, Args)]
pub struct PretrainArguments {
    /// The file to write, safetensors with weights in f16
    #[arg(long, value_name = "FILE", required_unless_present = "resume")]
    pub output: Option<PathBuf>,
    /// Replace the file if there is one
    #[arg(long)]
    pub overwrite: bool,
    /// Go on with the pretraining of this file where it was cut off, with the settings that it was begun with
    #[arg(long, value_name = "FILE")]
    pub resume: Option<PathBuf>,
    /// Minutes between saves of the state that `--resume` goes on from, beside the output until the end; it is also saved at a stop. 0 for only then
    #[arg(long, value_name = "MINUTES", default_value = "5", value_parser = not_negative)]
    pub save_every: f64,
    /// The data to learn: UTF-8 text, or records in JSON lines, JSON, CSV, TSV or Parquet; - reads from stdin [default: stories of the little world and exercises, 4 MB
    /// of them]
    #[arg(long, value_name = "FILE")]
    pub data: Option<String>,
    #[command(flatten)]
    pub reading: Reading,

    /// Sizes and learning rate, where no flag says otherwise
    #[arg(long, value_enum, default_value = "tiny", help_heading = "Model")]
    pub size: Size,
    /// Layers [default: by size]
    #[arg(long, value_name = "L", help_heading = "Model", value_parser = size)]
    pub layers: Option<usize>,
    /// Columns of the residual stream [default: by size]
    #[arg(long, value_name = "N", help_heading = "Model", value_parser = size)]
    pub width: Option<usize>,
    /// Attention heads [default: by size]
    #[arg(long, value_name = "H", help_heading = "Model", value_parser = size)]
    pub heads: Option<usize>,
    /// Heads of keys and values [default: as many as heads]
    #[arg(long, value_name = "N", help_heading = "Model", value_parser = size)]
    pub kv_heads: Option<usize>,
    /// Columns of the feed-forward part [default: by size]
    #[arg(long, value_name = "N", help_heading = "Model", value_parser = size)]
    pub feed_forward: Option<usize>,

    /// Tokens (bytes) per sequence
    #[arg(long, value_name = "T", default_value = "64", help_heading = "Training", value_parser = size)]
    pub tokens: usize,
    /// Sequences per step
    #[arg(long, value_name = "B", default_value = "32", help_heading = "Training", value_parser = size)]
    pub batch_size: usize,
    /// Optimiser steps
    #[arg(long, value_name = "N", default_value = "6000", help_heading = "Training", value_parser = at_least_1)]
    pub steps: usize,
    /// Peak learning rate, warmed up over 2 % of the steps and then a cosine [default: 4e-3 for tiny, 8e-3 for nano]
    #[arg(long, value_name = "RATE", help_heading = "Training", value_parser = positive)]
    pub learning_rate: Option<f64>,
    /// Weight decay of the matrices
    #[arg(long, value_name = "X", default_value = "0.05", help_heading = "Training", value_parser = not_negative)]
    pub weight_decay: f64,
    /// Fixes the initial weights and the data order
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Training")]
    pub seed: u64,
    /// CPU threads; no result depends on them [default: all]
    #[arg(long, value_name = "N", help_heading = "Training", value_parser = setting::<usize>("threads"))]
    pub threads: Option<usize>,
    /// Show no progress, only the result
    #[arg(long)]
    pub quiet: bool,
}

impl PretrainArguments {
    /// The file to write.
    ///
    /// # Errors
    /// If none is named.
    pub fn output(&self) -> anyhow::Result<&Path> {
        self.output.as_deref().context("`--output FILE` is needed")
    }
}
