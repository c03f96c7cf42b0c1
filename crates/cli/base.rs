//! Recognises files and folders that are no base by their first bytes, and names their kind before any weights are read.

use std::{fs::File, io::Read, path::Path};

use anyhow::{Context, Result, bail};
use loralab_core::models::Model;
use serde_json::Value;

use crate::source;

/// Description of a valid base; ends a sentence that names the kind of file found.
const NEEDED: &str = "a base is one safetensors file of a decoder of Llama's shape that reads bytes (256 tokens), such as `loralab pretrain` makes";

/// First bytes of other kinds of files, with a description of each.
const OTHERS: [(&[u8], &str); 5] = [
    (b"GGUF", "a GGUF file, which llama.cpp reads"),
    (b"PK\x03\x04", "a zip archive, as PyTorch writes checkpoints (.bin, .pt, .pth)"),
    (b"\x80\x02", "a pickle, as older PyTorch writes checkpoints (.bin, .pt, .pth)"),
    (b"\x89HDF", "an HDF5 file, as Keras writes checkpoints (.h5)"),
    (
        b"version https://git-lfs",
        "a pointer that Git LFS leaves in the place of a file; fetch the file itself with `git lfs pull`",
    ),
];

/// The longest header of a safetensors file that its library reads.
const LONGEST_HEADER: u64 = 100_000_000;

/// Refuses a path that can't be a base, by its first bytes, header or folder; reads no weights.
///
/// # Errors
/// If it is not a base, in one sentence with the reason; or if it cannot be read.
pub fn check(path: &Path) -> Result<()> {
    let name = path.display();
    if path.is_dir() {
        return folder(path);
    }
    let unread = || format!("the base `{name}` cannot be read");
    let length = path.metadata().with_context(unread)?.len();
    let mut file = File::open(path).with_context(unread)?;
    let mut first = Vec::new();
    Read::by_ref(&mut file).take(32).read_to_end(&mut first).with_context(unread)?;
    if let Some((_, what)) = OTHERS.iter().find(|(magic, _)| first.starts_with(magic)) {
        bail!("the base `{name}` is {what}; {NEEDED}");
    }
    let whole = "it is not a whole safetensors file";
    let refused = |what: &str| {
        format!(
            "the base `{name}` cannot be used: {whole} ({what}); copy it again, or make a base with `loralab pretrain`"
        )
    };
    let Some(size) = first.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)) else {
        bail!(refused(&format!("it has {length} bytes")));
    };
    if size > LONGEST_HEADER || size > length.saturating_sub(8) {
        if first.trim_ascii_start().starts_with(b"{") {
            bail!("the base `{name}` is JSON; a config.json holds the sizes of a model, but no weights, and {NEEDED}");
        }
        bail!(refused("its first eight bytes are not the length of a header"));
    }
    let mut header = first.split_off(8);
    header.truncate(usize::try_from(size)?);
    let rest = size - header.len() as u64;
    file.take(rest).read_to_end(&mut header).with_context(unread)?;
    let Ok(header) = serde_json::from_slice::<Value>(&header) else { bail!(refused("its header is not JSON")) };
    let ends = header.as_object().into_iter().flatten().filter_map(|(_, tensor)| tensor["data_offsets"][1].as_u64());
    let promised = ends.max().unwrap_or(0).saturating_add(8).saturating_add(size);
    if promised != length {
        bail!(refused(&format!("its header describes {promised} bytes, but it has {length}")));
    }
    // transformers stores a checkpoint's sizes in a file beside it.
    let beside = || std::fs::read_to_string(path.with_file_name("config.json")).ok();
    match header["__metadata__"]["config"].as_str().map(str::to_owned).or_else(beside) {
        Some(config) => sizes(&config).with_context(|| format!("the base `{name}` cannot be used")),
        // The reader of bases reports the missing config.
        None => Ok(()),
    }
}

/// Refuses a folder, naming its kind.
fn folder(path: &Path) -> Result<()> {
    let name = path.display();
    if path.join("adapter_config.json").exists() {
        bail!("the base `{name}` is the folder of an adapter, which belongs to a base of its own; {NEEDED}");
    }
    let Ok(config) = std::fs::read_to_string(path.join("config.json")) else {
        bail!("the base `{name}` is a folder, but a file is needed; {NEEDED}");
    };
    sizes(&config).with_context(|| {
        format!("the base `{name}` is a folder as transformers writes them, and this model cannot be used")
    })?;
    bail!(
        "the base `{name}` is a folder, but a file is needed: its safetensors, with the text of its config.json as the metadata `config`"
    )
}

/// Refuses a config of a model that can't be a base, whatever its weights.
fn sizes(config: &str) -> Result<()> {
    Ok(source::TOKENIZER.check(Model::from_json(config)?.vocabulary())?)
}
