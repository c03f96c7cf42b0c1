//! Checkpoints: named tensors in their stored format, with text metadata.
//!
//! A tensor is a slice of shared bytes, those of a whole file as a rule, so that reading copies nothing. [`read_safetensors`] and
//! [`read_gguf`] take the bytes of files and [`write_safetensors`] makes them; no file is opened, but by `files`, which a
//! feature turns on. This is a crate of its own, so that the core does not depend on checkpoint formats.

mod blocks;
#[cfg(feature = "files")]
pub mod files;
mod gguf;
mod safetensors;
mod shared;

use std::{collections::BTreeMap, fmt};

pub use bytes::Bytes;
use half::{bf16, f16};

pub use crate::{
    blocks::Blocks,
    gguf::{
        GgufAdapter, GgufError, GgufModule, GgufTokenizer, is_gguf, read_gguf, read_gguf_adapter, read_gguf_tokenizer,
        write_gguf_adapter,
    },
    safetensors::{read_safetensors, rewrite_safetensors, stream_safetensors, write_safetensors},
    shared::{Element, SharedSlice},
};

/// The element type of a stored tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// 32-bit floats.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
    /// Quantised blocks of GGUF.
    Blocks(Blocks),
    /// An unsupported type, by its name.
    Other(String),
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Format::F32 => f.write_str("F32"),
            Format::F16 => f.write_str("F16"),
            Format::Bf16 => f.write_str("BF16"),
            Format::Blocks(blocks) => blocks.fmt(f),
            Format::Other(name) => f.write_str(name),
        }
    }
}

/// A tensor in its stored format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Name, e.g. `model.layers.0.mlp.up_proj.weight`.
    pub name: String,
    /// Sizes of the dimensions, the last varying fastest.
    pub shape: Vec<usize>,
    /// Element type.
    pub format: Format,
    /// Elements, little-endian.
    pub bytes: Bytes,
}

/// Tensors and metadata of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Metadata texts by key.
    pub metadata: BTreeMap<String, String>,
    /// The tensors, with distinct names.
    pub tensors: Vec<Stored>,
}

/// Error of reading or writing a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Error of the safetensors library.
    #[error(transparent)]
    Safetensors(#[from] ::safetensors::SafeTensorError),
    /// Error of reading a GGUF file.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// A tensor's element type cannot be written.
    #[error("the tensor \"{tensor}\" is stored as {format}; F32, F16 and BF16 can be written")]
    Format {
        /// Name of the tensor.
        tensor: String,
        /// Element type of the tensor.
        format: Format,
    },
    /// A tensor's elements are too many or too few.
    #[error("the tensor \"{tensor}\" needs {needed} bytes, but got {found}")]
    Length {
        /// Name of the tensor.
        tensor: String,
        /// Bytes that there are.
        found: usize,
        /// Bytes that there must be.
        needed: usize,
    },
}

impl Checkpoint {
    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<&Stored> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }
}

impl Stored {
    /// A tensor of 32-bit floats.
    pub fn of_f32(name: String, shape: Vec<usize>, values: &[f32]) -> Stored {
        Stored { name, shape, format: Format::F32, bytes: SharedSlice::from(values.to_vec()).to_le_bytes() }
    }

    /// The elements as f32, exactly; `None` if the type is not supported.
    pub fn to_f32(&self) -> Option<Vec<f32>> {
        match self.format {
            Format::F32 => Some(self.elements::<f32>().to_vec()),
            Format::F16 => Some(self.elements::<f16>().iter().map(|x| x.to_f32()).collect()),
            Format::Bf16 => Some(self.elements::<bf16>().iter().map(|x| x.to_f32()).collect()),
            Format::Blocks(blocks) => Some(blocks.decode(&self.bytes)),
            Format::Other(_) => None,
        }
    }

    /// The elements, read as `T`.
    pub fn elements<T: Element>(&self) -> SharedSlice<T> {
        SharedSlice::from_le_bytes(self.bytes.clone())
    }
}
