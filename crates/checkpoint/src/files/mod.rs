//! Checkpoints in files and folders: recognised, memory-mapped and joined from their parts.
//!
//! [`open`] reads headers only; the weights are read from the disk when they are touched.

mod error;
mod folder;
mod hub;
mod map;

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use bytes::Bytes;

pub use self::{
    error::FilesError,
    hub::{HubCache, HubError, is_hub_name},
};
use crate::{Checkpoint, GgufTokenizer, is_gguf, read_gguf, read_gguf_tokenizer, read_safetensors};

/// The key of a checkpoint's metadata that holds the text of its `config.json`.
const CONFIG: &str = "config";

/// Largest `config.json` and index that are read.
const LARGEST_TEXT: u64 = 64 << 20;

/// First bytes of files that are no checkpoints, with a description of each.
const OTHERS: [(&[u8], &str); 7] = [
    (b"PK\x03\x04", "a zip archive, as PyTorch writes checkpoints (.bin, .pt, .pth)"),
    (b"\x80\x02", "a pickle, as older PyTorch writes checkpoints (.bin, .pt, .pth)"),
    (b"\x89HDF", "an HDF5 file, as Keras writes checkpoints (.h5)"),
    (b"\x08\x07\x12", "an ONNX file"),
    (b"ggjt", "a file of llama.cpp from before GGUF"),
    (b"\x1f\x8b", "a gzip archive, to be unpacked first"),
    (
        b"version https://git-lfs",
        "a pointer that Git LFS leaves in the place of a file; fetch the file itself with `git lfs pull`",
    ),
];

/// Opens a checkpoint: a folder as transformers writes them, a safetensors file, or a GGUF file (for one that was split, any part). Its metadata have the
/// key `config` if the file itself or a `config.json` beside it says the model's sizes.
///
/// # Errors
/// A sentence about what was found and what is needed.
pub fn open(path: &Path) -> Result<Checkpoint, FilesError> {
    if path.is_dir() {
        return folder::open(path);
    }
    let bytes = bytes(path)?;
    if let Some((_, what)) = OTHERS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Err(FilesError::Kind(what));
    }
    if is_gguf(&bytes) {
        let parts = match parts(path)? {
            Some(paths) => paths.iter().map(|path| self::bytes(path)).collect::<Result<_, _>>()?,
            None => vec![bytes],
        };
        return Ok(read_gguf(&parts)?);
    }
    let mut checkpoint = safetensors(&bytes)?;
    if !checkpoint.metadata.contains_key(CONFIG) {
        let beside = path.with_file_name("config.json");
        if beside.is_file() {
            checkpoint.metadata.insert(CONFIG.to_owned(), text(&beside)?);
        }
    }
    Ok(checkpoint)
}

/// The tokenizer within a GGUF file (for one that was split, any part); none in other files, and in one without.
///
/// # Errors
/// If the file cannot be read, is damaged, or its tokenizer is of an unknown kind.
pub fn tokenizer(path: &Path) -> Result<Option<GgufTokenizer>, FilesError> {
    if path.is_dir() {
        return Ok(None);
    }
    // The first part has the metadata.
    let first = parts(path)?.and_then(|parts| parts.into_iter().next());
    let bytes = bytes(first.as_deref().unwrap_or(path))?;
    match is_gguf(&bytes) {
        true => Ok(read_gguf_tokenizer(&bytes).map_err(crate::CheckpointError::from)?),
        false => Ok(None),
    }
}

/// The safetensors files that hold a checkpoint's weights, by name, with their mapped bytes: that of the path, or those of a folder.
///
/// # Errors
/// If there are none, or one is missing.
pub fn weights(path: &Path) -> Result<Vec<(String, Bytes)>, FilesError> {
    let (folder, names) = match path.is_dir() {
        true => (path, folder::weights(path)?),
        false => {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (path.parent().unwrap_or(Path::new("")), vec![name])
        }
    };
    let mapped = |name: String| Ok((name.clone(), bytes(&folder.join(name))?));
    let files: Vec<(String, Bytes)> = names.into_iter().map(mapped).collect::<Result<_, FilesError>>()?;
    match files.iter().any(|(_, bytes)| is_gguf(bytes)) {
        true => Err(FilesError::Gguf),
        false => Ok(files),
    }
}

/// The folder that holds a checkpoint's other files, such as its tokenizer.
pub fn folder_of(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if path.is_dir() { path.to_owned() } else { parent.unwrap_or(Path::new(".")).to_owned() }
}

/// The mapped bytes of a file.
fn bytes(path: &Path) -> Result<Bytes, FilesError> {
    map::map(path).map_err(|error| unreadable(path, error))
}

fn unreadable(path: &Path, error: io::Error) -> FilesError {
    FilesError::Unreadable { path: path.display().to_string(), error }
}

/// The text of a small file.
fn text(path: &Path) -> Result<String, FilesError> {
    let read = || {
        let mut text = String::new();
        let read = File::open(path)?.take(LARGEST_TEXT + 1).read_to_string(&mut text)?;
        if read as u64 > LARGEST_TEXT {
            return Err(io::Error::other("it has more than 64 MiB"));
        }
        Ok(text)
    };
    read().map_err(|error| unreadable(path, error))
}

/// Reads a safetensors file.
fn safetensors(bytes: &Bytes) -> Result<Checkpoint, FilesError> {
    read_safetensors(bytes).map_err(|error| {
        if bytes.trim_ascii_start().starts_with(b"{") {
            return FilesError::Json;
        }
        match described(bytes) {
            Some(described) if described != bytes.len() as u64 => {
                FilesError::Length { described, found: bytes.len() as u64 }
            }
            _ => FilesError::Safetensors(error),
        }
    })
}

/// The bytes that a file should have by its header, if that can be read.
fn described(bytes: &[u8]) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Place {
        data_offsets: Option<(u64, u64)>,
    }
    let size = usize::try_from(u64::from_le_bytes(*bytes.first_chunk()?)).ok()?;
    let header = bytes.get(8..size.checked_add(8)?)?;
    let places: std::collections::BTreeMap<String, Place> = serde_json::from_slice(header).ok()?;
    let end = places.values().filter_map(|place| place.data_offsets).map(|(_, end)| end).max()?;
    end.checked_add(8)?.checked_add(size as u64)
}

/// All parts of a GGUF file that was split, if the name is that of a part: `…-00002-of-00005.gguf`.
fn parts(path: &Path) -> Result<Option<Vec<PathBuf>>, FilesError> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(None) };
    let number = |text: &str| (text.len() == 5).then(|| text.parse::<u32>().ok()).flatten();
    let split = || {
        let (rest, count) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
        let (stem, own) = rest.rsplit_once('-')?;
        Some((stem, number(own)?, number(count)?))
    };
    let Some((stem, _, count)) = split() else { return Ok(None) };
    let mut parts = Vec::new();
    for part in 1..=count {
        let part = path.with_file_name(format!("{stem}-{part:05}-of-{count:05}.gguf"));
        if !part.is_file() {
            return Err(FilesError::Part(part.display().to_string()));
        }
        parts.push(part);
    }
    Ok(Some(parts))
}
