//! The arguments of `loralab export`.

use std::path::PathBuf;

use clap::Args;

/// `loralab export`.
#[derive(Debug, Args)]
pub struct ExportArguments {
    /// The adapter: a folder in PEFT's layout
    #[arg(long, value_name = "FOLDER")]
    pub adapter: PathBuf,
    /// The file to write for llama.cpp, whose programs take it by their flag --lora beside the model's own GGUF file; it must not exist
    #[arg(long, value_name = "FILE")]
    pub gguf: PathBuf,
    /// The model, of which only the config.json is read: tiny, nano, a Hugging Face folder, a safetensors or GGUF file, or a name in the cache of Hugging
    /// Face's hub [default: the adapter's own]
    #[arg(long, visible_alias = "base", value_name = "MODEL")]
    pub model: Option<String>,
    /// The number format: f32, or f16, which takes half the space
    #[arg(long, value_name = "FORMAT", default_value = "f32", value_parser = ["f32", "f16"])]
    pub format: String,
}
