//! Reading and writing of safetensors.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Write},
};

use bytes::Bytes;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::{Value, json};

use crate::{Checkpoint, CheckpointError, Format, Stored};

/// Reads the bytes of a safetensors file; the tensors share them.
///
/// # Errors
/// If the bytes are not a safetensors file, end too early, or describe tensors that overlap or leave gaps.
pub fn read_safetensors(bytes: &Bytes) -> Result<Checkpoint, CheckpointError> {
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    let file = SafeTensors::deserialize(bytes)?;
    let stored = |(name, view): (&str, TensorView<'_>)| {
        let format = match view.dtype() {
            Dtype::F32 => Format::F32,
            Dtype::F16 => Format::F16,
            Dtype::BF16 => Format::Bf16,
            other => Format::Other(format!("{other:?}")),
        };
        Stored { name: name.to_owned(), shape: view.shape().to_vec(), format, bytes: bytes.slice_ref(view.data()) }
    };
    let mut tensors: Vec<Stored> = file.iter().map(stored).collect();
    // The library's own order differs from call to call, and messages name the first tensor that is wrong.
    tensors.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(Checkpoint { metadata, tensors })
}

/// The bytes of a safetensors file. Only supported element types can be written.
///
/// # Errors
/// If the number of a tensor's bytes does not match its shape, or its type is not supported.
pub fn write_safetensors(checkpoint: &Checkpoint) -> Result<Vec<u8>, CheckpointError> {
    let mut views = Vec::with_capacity(checkpoint.tensors.len());
    for Stored { name, shape, format, bytes } in &checkpoint.tensors {
        let dtype = match format {
            Format::F32 => Dtype::F32,
            Format::F16 => Dtype::F16,
            Format::Bf16 => Dtype::BF16,
            Format::Blocks(_) | Format::Other(_) => {
                return Err(CheckpointError::Format { tensor: name.clone(), format: format.clone() });
            }
        };
        views.push((name, TensorView::new(dtype, shape.clone(), bytes)?));
    }
    let metadata: HashMap<String, String> = checkpoint.metadata.clone().into_iter().collect();
    let mut bytes = safetensors::serialize(views, Some(metadata))?;
    sort_metadata(&mut bytes, &checkpoint.metadata);
    Ok(bytes)
}

/// Puts the metadata of a file in order: `safetensors` writes them in that of a hash map, which is another in each process.
fn sort_metadata(file: &mut [u8], metadata: &BTreeMap<String, String>) {
    let Some((length, rest)) = file.split_first_chunk_mut::<8>() else { return };
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let Some(header) = rest.get_mut(..length) else { return };
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(header) else { return };
    fields.insert("__metadata__".to_owned(), serde_json::json!(metadata));
    let text = Value::Object(fields).to_string();
    // The same fields in another order: as long as before, without the spaces at the end.
    if text.len() <= length {
        header.fill(b' ');
        header[..text.len()].copy_from_slice(text.as_bytes());
    }
}

/// Copies a safetensors file, with other elements for some tensors: `change` returns those of a tensor, in its format and shape, or none to leave it as it is.
/// Header, order and everything else are as they were. One tensor at a time is held.
///
/// # Errors
/// If the bytes are no safetensors file, `change` fails or returns another number of bytes, or `to` cannot be written.
pub fn rewrite_safetensors<E: From<CheckpointError> + From<io::Error>>(
    bytes: &Bytes,
    to: &mut impl Write,
    mut change: impl FnMut(&Stored) -> Result<Option<Bytes>, E>,
) -> Result<(), E> {
    let mut tensors = read_safetensors(bytes)?.tensors;
    let place = |stored: &Stored| stored.bytes.as_ptr() as usize - bytes.as_ptr() as usize;
    tensors.retain(|stored| !stored.bytes.is_empty());
    tensors.sort_by_key(place);
    let mut at = 0;
    for stored in &tensors {
        let start = place(stored);
        to.write_all(&bytes[at..start])?;
        to.write_all(&changed(stored, change(stored)?)?)?;
        at = start + stored.bytes.len();
    }
    Ok(to.write_all(&bytes[at..])?)
}

/// Writes a safetensors file of these tensors, in the order of their formats' widths, as the format's own library does, so that all are aligned. `change` is as for [`rewrite_safetensors`].
/// One tensor at a time is held.
///
/// # Errors
/// If `change` fails or returns another number of bytes, or `to` cannot be written.
pub fn stream_safetensors<E: From<CheckpointError> + From<io::Error>>(
    checkpoint: &Checkpoint,
    to: &mut impl Write,
    mut change: impl FnMut(&Stored) -> Result<Option<Bytes>, E>,
) -> Result<(), E> {
    let width = |stored: &Stored| stored.bytes.len() / stored.shape.iter().product::<usize>().max(1);
    let mut tensors: Vec<&Stored> = checkpoint.tensors.iter().collect();
    tensors.sort_by_key(|stored| std::cmp::Reverse(width(stored)));
    let mut header = serde_json::Map::from_iter([("__metadata__".to_owned(), json!(checkpoint.metadata))]);
    let mut end = 0;
    for Stored { name, shape, format, bytes } in &tensors {
        let offsets = [end, end + bytes.len()];
        end = offsets[1];
        let described = json!({ "dtype": format.to_string(), "shape": shape, "data_offsets": offsets });
        header.insert(name.clone(), described);
    }
    let mut header = Value::Object(header).to_string();
    header += &" ".repeat(header.len().next_multiple_of(8) - header.len());
    to.write_all(&(header.len() as u64).to_le_bytes())?;
    to.write_all(header.as_bytes())?;
    for stored in tensors {
        to.write_all(&changed(stored, change(stored)?)?)?;
    }
    Ok(())
}

/// The other bytes of a tensor, which must be as many, or its own.
fn changed(stored: &Stored, other: Option<Bytes>) -> Result<Bytes, CheckpointError> {
    match other {
        Some(other) if other.len() != stored.bytes.len() => {
            let (tensor, found, needed) = (stored.name.clone(), other.len(), stored.bytes.len());
            Err(CheckpointError::Length { tensor, found, needed })
        }
        other => Ok(other.unwrap_or_else(|| stored.bytes.clone())),
    }
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    fn checkpoint() -> Checkpoint {
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
        let bytes = Bytes::from(write_safetensors(&checkpoint()).expect("tensors of their shapes"));
        let mut read = read_safetensors(&bytes).expect("a whole file");
        read.tensors.sort_by(|one, other| one.name.cmp(&other.name));
        assert_eq!(read, checkpoint());
        assert_eq!(read.tensor("a").and_then(Stored::to_f32), Some(vec![1.0, 2.0, f32::MIN]));
        assert_eq!(read.tensor("b").and_then(Stored::to_f32), Some(vec![0.5, -2.0]));
        assert_eq!(read.tensor("c"), None);
        let places = bytes.as_ptr_range();
        assert!(read.tensors.iter().all(|tensor| places.contains(&tensor.bytes.as_ptr())), "a tensor was copied");
    }

    #[test]
    fn a_checkpoint_is_always_written_as_the_same_bytes() {
        let metadata = (0..8).map(|i| (format!("key {i}"), "é \"\n".to_owned())).collect();
        let checkpoint = Checkpoint { metadata, ..checkpoint() };
        let first = write_safetensors(&checkpoint).expect("tensors of their shapes");
        for _ in 0..8 {
            assert!(write_safetensors(&checkpoint).expect("tensors of their shapes") == first);
        }
        assert_eq!(read_safetensors(&first.into()).expect("a whole file").metadata, checkpoint.metadata);
    }

    #[test]
    fn a_copy_differs_in_what_was_changed_only() {
        let bytes = Bytes::from(write_safetensors(&checkpoint()).expect("tensors of their shapes"));
        let copy = |change: &dyn Fn(&Stored) -> Option<Bytes>| {
            let mut copy = Vec::new();
            let copied: Result<(), Box<dyn std::error::Error>> =
                rewrite_safetensors(&bytes, &mut copy, |stored| Ok(change(stored)));
            copied.map(|()| copy).map_err(|error| error.to_string())
        };
        assert_eq!(copy(&|_| None).as_deref(), Ok(&bytes[..]));
        let other: Bytes = [1.5_f32, 2.5, 3.5].into_iter().flat_map(f32::to_le_bytes).collect();
        let changed = copy(&|stored| (stored.name == "a").then(|| other.clone())).expect("as many bytes");
        let read = read_safetensors(&changed.into()).expect("a whole file");
        assert_eq!(read.tensor("a").and_then(Stored::to_f32), Some(vec![1.5, 2.5, 3.5]));
        assert_eq!(read.tensor("b"), checkpoint().tensor("b"));
        let short = copy(&|_| Some(Bytes::from_static(&[0; 4])));
        assert!(short.is_err_and(|sentence| sentence.contains("needs")));
    }

    #[test]
    fn tensors_are_written_one_by_one() {
        let (mut checkpoint, mut file) = (checkpoint(), Vec::new());
        checkpoint.tensors.reverse();
        let other: Bytes = [1.5_f32, 2.5, 3.5].into_iter().flat_map(f32::to_le_bytes).collect();
        let change = |stored: &Stored| Ok::<_, Box<dyn std::error::Error>>((stored.name == "a").then(|| other.clone()));
        stream_safetensors(&checkpoint, &mut file, change).expect("as many bytes");
        let read = read_safetensors(&file.into()).expect("a whole file");
        assert_eq!(read.metadata, checkpoint.metadata);
        assert_eq!(read.tensor("a").and_then(Stored::to_f32), Some(vec![1.5, 2.5, 3.5]));
        assert_eq!(read.tensor("b"), checkpoint.tensor("b"));
    }

    #[test]
    fn what_is_no_checkpoint_is_refused() {
        let bytes = Bytes::from(write_safetensors(&checkpoint()).expect("tensors of their shapes"));
        for length in 0..bytes.len() {
            assert!(read_safetensors(&bytes.slice(..length)).is_err(), "{length} bytes");
        }
        let mut short = checkpoint();
        short.tensors[0].shape = vec![4];
        assert!(write_safetensors(&short).is_err());
        short.tensors[0].format = Format::Other("I8".to_owned());
        assert!(write_safetensors(&short).is_err());
    }
}
