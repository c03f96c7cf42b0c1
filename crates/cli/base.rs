//! Loads the base that `--base`, or `--model`, names: a shipped one, a folder or file of a checkpoint, or a model in the local cache of Hugging Face's hub.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use loralab_checkpoint::files::{self, HubCache};
use loralab_core::models::{self, Model};
use loralab_experiment::{Base, nearest};
use loralab_tokenizer::Tokenizer;

use crate::memory;

const TINY: &[u8] = include_bytes!("../core/bases/tiny.safetensors");
const NANO: &[u8] = include_bytes!("../core/bases/nano.safetensors");

/// A base that was loaded.
pub struct Loaded {
    /// The model.
    pub base: models::Base,
    /// The name that it was given by, which adapters store.
    pub name: String,
    /// The tokenizer of its texts.
    pub tokenizer: Tokenizer,
}

/// Loads a base.
///
/// # Errors
/// If it is not here, is no checkpoint, or is of a model that cannot be run.
pub fn load(base: &Base) -> Result<Loaded> {
    let shipped = |name: &str, bytes: &'static [u8]| {
        Ok(Loaded { base: models::Base::from_safetensors(bytes)?, name: name.to_owned(), tokenizer: Tokenizer::Bytes })
    };
    match base {
        Base::Tiny => shipped("tiny", TINY),
        Base::Nano => shipped("nano", NANO),
        Base::Path(name) => {
            let (base, tokenizer) = read(&place(name)?).with_context(|| unusable(name))?;
            Ok(Loaded { base, name: name.clone(), tokenizer })
        }
    }
}

/// The tokenizer of a base, without its weights.
///
/// # Errors
/// If the base is not here.
pub fn tokenizer(base: &Base) -> Result<Tokenizer> {
    match base {
        Base::Tiny | Base::Nano => Ok(Tokenizer::Bytes),
        Base::Path(name) => tokenizer_of(&place(name)?).with_context(|| unusable(name)),
    }
}

fn unusable(name: &str) -> String {
    format!("the base `{name}` cannot be used")
}

/// The file or folder that a name stands for.
fn place(name: &str) -> Result<PathBuf> {
    let path = Path::new(name);
    if path.exists() {
        return Ok(path.to_owned());
    }
    if files::is_hub_name(name) {
        return Ok(HubCache::of_environment(|variable| env::var_os(variable).map(PathBuf::from)).find(name)?);
    }
    let remedy = nearest(name, ["tiny", "nano"]).map_or_else(
        || "Check the path, or make a base with `loralab pretrain`.".to_owned(),
        |name| format!("Did you mean `{name}`?"),
    );
    bail!(
        "there is no base `{name}`: it is neither a shipped one (tiny, nano), nor a file or folder, nor a name like `HuggingFaceTB/SmolLM2-135M`. {remedy}"
    )
}

/// Reads a checkpoint and its tokenizer. Its config is checked first, then the memory that its weights take; they are read last.
fn read(path: &Path) -> Result<(models::Base, Tokenizer)> {
    let checkpoint = files::open(path)?;
    let tokenizer = tokenizer_of(path)?;
    if let Some(config) = checkpoint.metadata.get("config") {
        tokenizer.check(Model::from_json(config)?.vocabulary())?;
    }
    memory::check_decoded(&checkpoint)?;
    Ok((models::Base::from_checkpoint(&checkpoint)?, tokenizer))
}

/// The tokenizer of a checkpoint.
fn tokenizer_of(_path: &Path) -> Result<Tokenizer> {
    Ok(Tokenizer::Bytes)
}
