//! Mapping of files into memory: the one place of unsafe code of this crate.
//!
//! A mapped file takes no memory of its own: the system reads its pages when they are touched, shares them among programs, and drops them when memory is short.

#![allow(unsafe_code)]

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use bytes::Bytes;
use memmap2::Mmap;

/// Most bytes that are read of what cannot be mapped.
const MOST: u64 = 1 << 30;

/// The bytes of a file, mapped. A pipe, which cannot be mapped, is read, up to a limit of 1 GiB.
///
/// # Errors
/// If the file cannot be opened or mapped.
pub fn map(path: &Path) -> io::Result<Bytes> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        let mut bytes = Vec::new();
        if file.take(MOST + 1).read_to_end(&mut bytes)? as u64 > MOST {
            return Err(io::Error::other("it is no file, and of what is none at most 1 GiB is read"));
        }
        return Ok(bytes.into());
    }
    if metadata.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the slice is valid as long as the mapping, which `Bytes` owns, and nothing here writes to it. The type system can't see another program
    // that writes to the file meanwhile: the mapped numbers would change, and if it cut the file short, the system would end this program (SIGBUS).
    // All programs that map checkpoints (safetensors, llama.cpp) rely on nobody changing them in place; loralab writes a new file and renames it.
    let mapping = unsafe { Mmap::map(&file)? };
    Ok(Bytes::from_owner(mapping))
}
