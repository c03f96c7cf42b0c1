//! Writing of GGUF files, version 3, little-endian.

use super::header::{MAGIC, Value};
use crate::{CheckpointError, Format, Stored};

/// Multiple of which the data of each tensor begin.
const ALIGNMENT: usize = 32;

/// The bytes of a file with these metadata and tensors, in this order. Of the metadata only texts and floats, as f32, can be written.
///
/// # Errors
/// If a tensor has a format other than F32, F16 and BF16, or a value is of another kind.
pub fn bytes(metadata: &[(&str, Value)], tensors: &[Stored]) -> Result<Vec<u8>, CheckpointError> {
    const VERSION: u32 = 3;
    const F32: u32 = 6;
    const TEXT: u32 = 8;
    let mut file = MAGIC.to_vec();
    file.extend(VERSION.to_le_bytes());
    file.extend((tensors.len() as u64).to_le_bytes());
    file.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        text(&mut file, key);
        match value {
            Value::Text(value) => {
                file.extend(TEXT.to_le_bytes());
                text(&mut file, value);
            }
            Value::Float(value) => {
                file.extend(F32.to_le_bytes());
                file.extend((*value as f32).to_le_bytes());
            }
            other => {
                let (key, found) = ((*key).to_owned(), format!("{other:?}"));
                return Err(super::GgufError::Value { key, found, needed: "a text or a number" }.into());
            }
        }
    }
    let mut offset = 0;
    for Stored { name, shape, format, bytes } in tensors {
        text(&mut file, name);
        file.extend((shape.len() as u32).to_le_bytes());
        // ggml's first dimension varies fastest.
        shape.iter().rev().for_each(|&size| file.extend((size as u64).to_le_bytes()));
        let number: u32 = match format {
            Format::F32 => 0,
            Format::F16 => 1,
            Format::Bf16 => 30,
            other => return Err(CheckpointError::Format { tensor: name.clone(), format: other.clone() }),
        };
        file.extend(number.to_le_bytes());
        file.extend((offset as u64).to_le_bytes());
        offset = (offset + bytes.len()).next_multiple_of(ALIGNMENT);
    }
    for tensor in tensors {
        file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
        file.extend_from_slice(&tensor.bytes);
    }
    // As ggml writes it, the last tensor is filled up, too.
    file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
    Ok(file)
}

fn text(file: &mut Vec<u8>, text: &str) {
    file.extend((text.len() as u64).to_le_bytes());
    file.extend_from_slice(text.as_bytes());
}
