//! The arguments of `loralab merge`.

use std::path::PathBuf;

use clap::Args;

/// `loralab merge`.
#[derive(Debug, Args)]
pub struct MergeArguments {
    /// The model: a Hugging Face folder, a safetensors file that says its sizes or has a config.json beside it, or a name in the cache of Hugging Face's hub
    #[arg(long, visible_alias = "base", value_name = "MODEL")]
    pub model: String,
    /// The adapter: a folder in PEFT's layout
    #[arg(long, value_name = "FOLDER")]
    pub adapter: PathBuf,
    /// The folder to write; it must be new or empty. It gets the model's files of weights, of the same names, sizes and number formats, and a copy of the
    /// other files beside them, such as the tokenizer
    #[arg(long, value_name = "FOLDER")]
    pub output: PathBuf,
}
