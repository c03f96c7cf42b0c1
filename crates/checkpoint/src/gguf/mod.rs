//! GGUF, the files of llama.cpp: read as the Hugging Face checkpoint that they were converted from.
//!
//! Names, order of rows and offsets of norms that llama.cpp's `convert_hf_to_gguf.py` changes are changed back, and the metadata become the text of a
//! `config.json`, and of a `tokenizer.json` if that is asked for. LoRA adapters are written and read, too. Quantised tensors keep their blocks, which [`Blocks::decode`](crate::Blocks::decode) decodes.

mod adapter;
mod config;
mod error;
mod header;
mod tensors;
mod tokenizer;
mod write;

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;

use self::header::{Header, MAGIC, Value};
pub use self::{
    adapter::{GgufAdapter, GgufModule, read_gguf_adapter, write_gguf_adapter},
    error::GgufError,
    tokenizer::{GgufTokenizer, read_gguf_tokenizer},
};
use crate::{Checkpoint, CheckpointError};

/// The architectures that are read, by the names that llama.cpp gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Architecture {
    Llama,
    Qwen2,
    Qwen3,
    Gemma2,
    Gemma3,
}

impl Architecture {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "llama" => Self::Llama,
            "qwen2" => Self::Qwen2,
            "qwen3" => Self::Qwen3,
            "gemma2" => Self::Gemma2,
            "gemma3" => Self::Gemma3,
            _ => return None,
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma2 => "gemma2",
            Self::Gemma3 => "gemma3",
        }
    }

    const fn is_gemma(self) -> bool {
        matches!(self, Self::Gemma2 | Self::Gemma3)
    }
}

/// True if the bytes begin as a GGUF file does.
pub fn is_gguf(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Reads a GGUF file, or all parts of one that was split, in their order. The tensors share the bytes, unless llama.cpp's order of rows has to be undone. The
/// metadata of the result have the key `config`, the text of a `config.json`.
///
/// # Errors
/// If a file is damaged, a part is missing, or the model is not supported.
pub fn read_gguf(parts: &[Bytes]) -> Result<Checkpoint, CheckpointError> {
    let mut headers = parts.iter().map(Header::read).collect::<Result<Vec<_>, _>>()?;
    let metadata = headers.first_mut().map(|header| std::mem::take(&mut header.metadata)).unwrap_or_default();
    check_parts(&metadata, parts.len())?;
    let entries: Vec<_> = headers.into_iter().flat_map(|header| header.tensors).collect();
    let mut names = HashSet::new();
    if let Some(twice) = entries.iter().find(|entry| !names.insert(entry.name.as_str())) {
        return Err(GgufError::Twice(twice.name.clone()).into());
    }
    if matches!(metadata.get("general.type"), Some(Value::Text(kind)) if kind == "adapter") {
        return Err(GgufError::Adapter.into());
    }
    let settings = config::Settings::new(metadata)?;
    let config = settings.config(&entries)?;
    let tensors = entries.iter().map(|entry| tensors::stored(entry, &settings));
    let tensors = tensors.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    Ok(Checkpoint { metadata: [("config".to_owned(), config.to_string())].into(), tensors })
}

/// Checks that all parts of a split file are there.
fn check_parts(metadata: &BTreeMap<String, Value>, found: usize) -> Result<(), GgufError> {
    let needed = match metadata.get("split.count") {
        Some(Value::Integer(count)) => u64::try_from(*count).unwrap_or(u64::MAX),
        _ => 1,
    };
    if needed.max(1) == found as u64 { Ok(()) } else { Err(GgufError::Parts { needed, found }) }
}
