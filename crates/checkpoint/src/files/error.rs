//! The errors of opening a checkpoint. Each is the end of a sentence about the path.

use std::io;

use crate::CheckpointError;

/// Description of what can be opened; ends a sentence.
const NEEDED: &str = "a folder as transformers writes them, a safetensors file or a GGUF file is needed";

/// Error of opening a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A file cannot be read.
    #[error("`{path}` cannot be read: {error}")]
    Unreadable {
        /// The file.
        path: String,
        /// The reason.
        error: io::Error,
    },
    /// The file is of another kind.
    #[error("it is {0}; {NEEDED}")]
    Kind(&'static str),
    /// The file is GGUF, where only safetensors will do.
    #[error(
        "it is a GGUF file, whose weights are in llama.cpp's own layout; a folder as transformers writes them, or a safetensors file, is needed"
    )]
    Gguf,
    /// The file is JSON.
    #[error("it is JSON; a config.json holds the sizes of a model, but no weights: name the folder that it is in")]
    Json,
    /// The file is shorter or longer than its header says.
    #[error(
        "it is not a whole safetensors file (its header describes {described} bytes, but it has {found}); copy it again"
    )]
    Length {
        /// Bytes by the header.
        described: u64,
        /// Bytes of the file.
        found: u64,
    },
    /// The file is not safetensors.
    #[error("it is not a whole safetensors file ({0}); copy it again, or make a base with `loralab pretrain`")]
    Safetensors(#[source] CheckpointError),
    /// The GGUF file cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A part of a split file is missing.
    #[error("its part `{0}` is missing; all parts are needed in one folder")]
    Part(String),
    /// The folder holds an adapter.
    #[error("it is the folder of an adapter, which belongs to a base of its own; {NEEDED}")]
    Adapter,
    /// The folder has no `config.json`.
    #[error("it is a folder without a config.json{0}; {NEEDED}")]
    NoConfig(String),
    /// The folder has no weights.
    #[error("it is a folder without model.safetensors{0}")]
    NoWeights(String),
    /// The folder has PyTorch's weights only.
    #[error(
        "its weights are there only as {found}, a pickle, whose reading may run any program; convert them: `python -c \"from transformers import \
         AutoModelForCausalLM as M; M.from_pretrained('{folder}').save_pretrained('{folder}-safetensors')\"`"
    )]
    Pickle {
        /// The file found.
        found: &'static str,
        /// The folder.
        folder: String,
    },
    /// The index cannot be parsed.
    #[error("its model.safetensors.index.json can't be read: {0}")]
    Index(#[source] serde_json::Error),
    /// The index names a tensor twice.
    #[error("its model.safetensors.index.json names the tensor `{0}` twice")]
    Twice(String),
    /// The index names a file that is not in the folder.
    #[error("its model.safetensors.index.json names the file `{0}`; only files in the folder itself are read")]
    Outside(String),
    /// A shard is missing.
    #[error("its model.safetensors.index.json names the file `{0}`, which is missing; fetch it, too")]
    NoShard(String),
    /// A shard cannot be used.
    #[error("its file `{file}` cannot be used: {error}")]
    Shard {
        /// Name of the shard.
        file: String,
        /// The reason.
        error: Box<FilesError>,
    },
    /// A tensor is not in the shard that the index names.
    #[error("tensor `{tensor}` is not in `{file}`, where model.safetensors.index.json says it is")]
    Missing {
        /// Name of the tensor.
        tensor: String,
        /// Name of the shard.
        file: String,
    },
    /// A tensor is in two shards.
    #[error("tensor `{tensor}` is both in `{one}` and in `{other}`")]
    Duplicate {
        /// Name of the tensor.
        tensor: String,
        /// The shard that the index names.
        one: String,
        /// The other shard.
        other: String,
    },
    /// A tensor is not in the index.
    #[error("tensor `{tensor}` of `{file}` is not in model.safetensors.index.json; one of the two is of another model")]
    Unlisted {
        /// Name of the tensor.
        tensor: String,
        /// Name of the shard.
        file: String,
    },
}
