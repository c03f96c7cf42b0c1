//! Checkpoints: named tensors in their stored format, with text metadata. Functions take and return bytes; no file is opened.
//!
//! [`read_safetensors`] borrows the bytes of a file, so that a tensor is copied at most once; [`write_safetensors`] makes the bytes of a file. This is a crate of
//! its own, so that the core does not depend on checkpoint formats.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fmt,
};

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensorError, SafeTensors, tensor::TensorView};

/// The element type of a stored tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// 32-bit floats.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
    /// An unsupported type, by its name.
    Other(String),
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Format::F32 => f.write_str("F32"),
            Format::F16 => f.write_str("F16"),
            Format::Bf16 => f.write_str("BF16"),
            Format::Other(name) => f.write_str(name),
        }
    }
}

/// A tensor in its stored format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored<'a> {
    /// Name, e.g. `model.layers.0.mlp.up_proj.weight`.
    pub name: String,
    /// Sizes of the dimensions, the last varying fastest.
    pub shape: Vec<usize>,
    /// Element type.
    pub format: Format,
    /// Elements, little-endian.
    pub bytes: Cow<'a, [u8]>,
}

/// Tensors and metadata of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint<'a> {
    /// Metadata texts by key.
    pub metadata: BTreeMap<String, String>,
    /// The tensors, with distinct names.
    pub tensors: Vec<Stored<'a>>,
}

/// Error of reading or writing a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Error of the safetensors library.
    #[error(transparent)]
    Safetensors(#[from] SafeTensorError),
    /// A tensor's element type cannot be written.
    #[error("the tensor \"{tensor}\" is stored as {format}; F32, F16 and BF16 can be written")]
    Format {
        /// Name of the tensor.
        tensor: String,
        /// Element type of the tensor.
        format: Format,
    },
}

impl Checkpoint<'_> {
    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<&Stored<'_>> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }
}

impl Stored<'_> {
    /// A tensor of 32-bit floats.
    pub fn of_f32(name: String, shape: Vec<usize>, values: &[f32]) -> Stored<'static> {
        Stored { name, shape, format: Format::F32, bytes: values.iter().flat_map(|x| x.to_le_bytes()).collect() }
    }

    /// The elements as f32, exactly; `None` if the type is not supported.
    pub fn to_f32(&self) -> Option<Vec<f32>> {
        match self.format {
            Format::F32 => Some(self.elements(f32::from_le_bytes)),
            Format::F16 => Some(self.elements(|bytes| f16::from_le_bytes(bytes).to_f32())),
            Format::Bf16 => Some(self.elements(|bytes| bf16::from_le_bytes(bytes).to_f32())),
            Format::Other(_) => None,
        }
    }

    /// The elements, each converted by `read` from `BYTES` bytes.
    pub fn elements<T, const BYTES: usize>(&self, read: impl Fn([u8; BYTES]) -> T) -> Vec<T> {
        self.bytes.as_chunks().0.iter().map(|&bytes| read(bytes)).collect()
    }
}

/// Reads the bytes of a safetensors file.
///
/// # Errors
/// If the bytes are not a safetensors file, end too early, or describe tensors that overlap or leave gaps.
pub fn read_safetensors<'a>(bytes: &'a [u8]) -> Result<Checkpoint<'a>, CheckpointError> {
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    let file = SafeTensors::deserialize(bytes)?;
    let stored = |(name, view): (&str, TensorView<'a>)| {
        let format = match view.dtype() {
            Dtype::F32 => Format::F32,
            Dtype::F16 => Format::F16,
            Dtype::BF16 => Format::Bf16,
            other => Format::Other(format!("{other:?}")),
        };
        Stored { name: name.to_owned(), shape: view.shape().to_vec(), format, bytes: Cow::Borrowed(view.data()) }
    };
    let tensors = file.iter().map(stored).collect();
    Ok(Checkpoint { metadata, tensors })
}

/// The bytes of a safetensors file. Only supported element types can be written.
///
/// # Errors
/// If the number of a tensor's bytes does not match its shape, or its type is not supported.
pub fn write_safetensors(checkpoint: &Checkpoint<'_>) -> Result<Vec<u8>, CheckpointError> {
    let mut views = Vec::with_capacity(checkpoint.tensors.len());
    for Stored { name, shape, format, bytes } in &checkpoint.tensors {
        let dtype = match format {
            Format::F32 => Dtype::F32,
            Format::F16 => Dtype::F16,
            Format::Bf16 => Dtype::BF16,
            Format::Other(_) => {
                return Err(CheckpointError::Format { tensor: name.clone(), format: format.clone() });
            }
        };
        views.push((name, TensorView::new(dtype, shape.clone(), bytes)?));
    }
    let metadata: HashMap<String, String> = checkpoint.metadata.clone().into_iter().collect();
    Ok(safetensors::serialize(views, Some(metadata))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint<'static> {
        let half = Stored {
            name: "b".to_owned(),
            shape: vec![2],
            format: Format::F16,
            bytes: [f16::from_f32(0.5), f16::from_f32(-2.0)].into_iter().flat_map(f16::to_le_bytes).collect(),
        };
        let metadata = [("format", "pt")].map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        Checkpoint { metadata, tensors: vec![Stored::of_f32("a".to_owned(), vec![1, 3], &[1.0, 2.0, f32::MIN]), half] }
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = write_safetensors(&checkpoint()).expect("tensors of their shapes");
        let mut read = read_safetensors(&bytes).expect("a whole file");
        read.tensors.sort_by(|one, other| one.name.cmp(&other.name));
        assert_eq!(read, checkpoint());
        assert_eq!(read.tensor("a").and_then(Stored::to_f32), Some(vec![1.0, 2.0, f32::MIN]));
        assert_eq!(read.tensor("b").and_then(Stored::to_f32), Some(vec![0.5, -2.0]));
        assert_eq!(read.tensor("c"), None);
    }

    #[test]
    fn what_is_no_checkpoint_is_refused() {
        let bytes = write_safetensors(&checkpoint()).expect("tensors of their shapes");
        for length in 0..bytes.len() {
            assert!(read_safetensors(&bytes[..length]).is_err(), "{length} bytes");
        }
        let mut short = checkpoint();
        short.tensors[0].shape = vec![4];
        assert!(write_safetensors(&short).is_err());
        short.tensors[0].format = Format::Other("I8".to_owned());
        assert!(write_safetensors(&short).is_err());
    }
}
