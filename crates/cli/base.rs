//! Loads the base that `--base`, or `--model`, names: a shipped one, a folder or file of a checkpoint, or a model in the local cache of Hugging Face's hub.

use std::{
    env, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use loralab_checkpoint::{
    Bytes, Checkpoint,
    files::{self, HubCache, HubError},
    read_safetensors,
};
use loralab_core::{
    graph::memory::Quantiser,
    lab::wanted,
    models::{self, BaseError, Model},
};
use loralab_data::Wanted;
use loralab_experiment::{Base, nearest};
use loralab_tokenizer::{Files, Tokenizer};

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

/// Loads a base, and quantises the weights of its linear maps if there is a quantiser.
///
/// # Errors
/// If it is not here, is no checkpoint, or is of a model that cannot be run.
pub fn load(base: &Base, quantiser: Option<Quantiser>) -> Result<Loaded> {
    let shipped = |name: &str, bytes: &'static [u8]| {
        let checkpoint = read_safetensors(&Bytes::from_static(bytes))?;
        let base = models::Base::quantised_from(&checkpoint, quantiser)?;
        Ok(Loaded { base, name: name.to_owned(), tokenizer: Tokenizer::Bytes })
    };
    match base {
        Base::Tiny => shipped("tiny", TINY),
        Base::Nano => shipped("nano", NANO),
        Base::Path(name) => {
            let (base, tokenizer) = read(&place(name)?, quantiser).with_context(|| unusable(name))?;
            Ok(Loaded { base, name: name.clone(), tokenizer })
        }
    }
}

/// The files that hold a base's weights.
pub struct Weights {
    /// The folder whose other files belong to the base, too; none for a single file.
    pub folder: Option<PathBuf>,
    /// The safetensors files, by the names that they have in such a folder.
    pub files: Vec<(String, Bytes)>,
    /// Their tensors, and the text of the `config.json`.
    pub checkpoint: Checkpoint,
}

/// Maps the files of a base.
///
/// # Errors
/// If it is not here, or is no safetensors.
pub fn weights(name: &str) -> Result<Weights> {
    const SINGLE: &str = "model.safetensors";
    let single =
        |bytes: Bytes, checkpoint| Weights { folder: None, files: vec![(SINGLE.to_owned(), bytes)], checkpoint };
    if let Some(bytes) = shipped(name).map(Bytes::from_static) {
        let checkpoint = read_safetensors(&bytes)?;
        return Ok(single(bytes, checkpoint));
    }
    let path = place(name)?;
    // The one file of a folder stands for the folder.
    let folder = files::folder_of(&path);
    let is_folders = path.file_name().is_some_and(|file| file == SINGLE) && folder.join("config.json").is_file();
    let path = if is_folders { folder } else { path };
    let open = || -> Result<Weights> {
        let (checkpoint, mut files) = (files::open(&path)?, files::weights(&path)?);
        match path.is_dir() {
            true => Ok(Weights { folder: Some(path.clone()), files, checkpoint }),
            false => Ok(single(files.remove(0).1, checkpoint)),
        }
    };
    open().with_context(|| unusable(name))
}

/// The text of a base's `config.json`.
///
/// # Errors
/// If the base is not here, or says nothing about its sizes.
pub fn config(name: &str) -> Result<String> {
    let checkpoint = match shipped(name) {
        Some(bytes) => read_safetensors(&Bytes::from_static(bytes))?,
        None => files::open(&place(name)?).with_context(|| unusable(name))?,
    };
    checkpoint.metadata.get("config").cloned().ok_or(BaseError::NoConfig).with_context(|| unusable(name))
}

/// The bytes of a shipped base.
fn shipped(name: &str) -> Option<&'static [u8]> {
    [("tiny", TINY), ("nano", NANO)].into_iter().find(|(shipped, _)| *shipped == name).map(|(_, bytes)| bytes)
}

/// The tokenizer of a base, without its weights.
/// The tokenizer of a base and what it is to say of texts, without its weights.
///
/// # Errors
/// If the base is not here, or its files cannot be read.
pub fn reading(base: &Base) -> Result<(Tokenizer, Option<Wanted>)> {
    match base {
        Base::Tiny | Base::Nano => Ok((Tokenizer::Bytes, None)),
        Base::Path(name) => {
            let path = place(name)?;
            let read = || {
                let checkpoint = files::open(&path)?;
                let tokenizer = tokenizer_of(&path, &checkpoint)?;
                let Some(config) = checkpoint.metadata.get("config") else { return Ok((tokenizer, None)) };
                let model = Model::from_json(config)?;
                let is_stored = |name: &str| checkpoint.tensors.iter().any(|tensor| tensor.name == name);
                let has_head = model.head().iter().all(|(name, _)| is_stored(name));
                anyhow::Ok((tokenizer, wanted(&model, has_head)))
            };
            read().with_context(|| unusable(name))
        }
    }
}

/// The answer that a base is to give about a text; none if it writes texts.
pub fn wanted_of(base: &models::Base) -> Option<Wanted> {
    wanted(&base.model, base.tensors.len() > base.model.tensors().len())
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
        return of_hub(name);
    }
    let remedy = nearest(name, ["tiny", "nano"]).map_or_else(
        || "Check the path, or make a base with `loralab pretrain`.".to_owned(),
        |name| format!("Did you mean `{name}`?"),
    );
    bail!(
        "there is no base `{name}`: it is neither a shipped one (tiny, nano), nor a file or folder, nor a name like `HuggingFaceTB/SmolLM2-135M`. {remedy}"
    )
}

/// The folder of a model in the cache of Hugging Face's hub. It is fetched if it is not there, this build can fetch, and the environment allows it.
fn of_hub(name: &str) -> Result<PathBuf> {
    let cache = HubCache::of_environment(|variable| env::var_os(variable).map(PathBuf::from));
    let found = cache.find(name);
    #[cfg(feature = "hub")]
    if matches!(found, Err(HubError::Model { .. } | HubError::Revision { .. })) && !crate::hub::is_offline() {
        crate::hub::fetch(&cache, name)?;
        return Ok(cache.find(name)?);
    }
    #[cfg(not(feature = "hub"))]
    if let Err(error @ (HubError::Model { .. } | HubError::Revision { .. })) = found {
        bail!("{error}; a build with `cargo install --path . --features hub` fetches it by itself");
    }
    Ok(found?)
}

/// Reads a checkpoint and its tokenizer. Its config is checked first, then the memory that its weights take; they are read last.
fn read(path: &Path, quantiser: Option<Quantiser>) -> Result<(models::Base, Tokenizer)> {
    let checkpoint = files::open(path)?;
    let tokenizer = tokenizer_of(path, &checkpoint)?;
    memory::check_decoded(&checkpoint)?;
    Ok((models::Base::quantised_from(&checkpoint, quantiser)?, tokenizer))
}

/// The tokenizer of a checkpoint, checked against the vocabulary that its config gives: that of the `tokenizer.json` in its folder, that within a GGUF file,
/// or bytes.
fn tokenizer_of(path: &Path, checkpoint: &Checkpoint) -> Result<Tokenizer> {
    // The reader of bases reports a missing config.
    let Some(config) = checkpoint.metadata.get("config") else { return Ok(Tokenizer::Bytes) };
    let found = Model::from_json(config)?.vocabulary();
    let folder = files::folder_of(path);
    // A file of 256 tokens is one that `loralab pretrain` made; a tokenizer.json that happens to lie beside it is another model's.
    let reads_bytes = found == Tokenizer::Bytes.vocabulary() && !path.is_dir();
    let tokenizer = match reads_bytes {
        true => None,
        false => beside(&folder)?.map_or_else(|| within(path), |beside| Ok(Some(beside)))?,
    };
    let needed = Tokenizer::Bytes.vocabulary();
    match tokenizer {
        None if found != needed => bail!(
            "it has a vocabulary of {found} tokens, but there is no tokenizer.json in `{}`, and without one only a base that reads bytes ({needed} tokens) can \
             be used; put the model's own tokenizer.json there",
            folder.display()
        ),
        None => Ok(Tokenizer::Bytes),
        Some(tokenizer) => {
            tokenizer.check(found)?;
            Ok(tokenizer)
        }
    }
}

/// The tokenizer in a GGUF file; none if there is none.
fn within(path: &Path) -> Result<Option<Tokenizer>> {
    let Some(own) = files::tokenizer(path)? else { return Ok(None) };
    let files = Files {
        tokenizer: own.tokenizer.as_bytes(),
        tokenizer_config: Some(own.tokenizer_config.as_bytes()),
        generation_config: Some(own.generation_config.as_bytes()),
        ..Files::default()
    };
    Ok(Some(Tokenizer::from_files(&files).context("the tokenizer in the file cannot be used")?))
}

/// The tokenizer in a folder; none if there is no `tokenizer.json`.
fn beside(folder: &Path) -> Result<Option<Tokenizer>> {
    let read = |name: &str| match fs::read(folder.join(name)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("its `{name}` cannot be read")),
    };
    let Some(tokenizer) = read(Files::TOKENIZER)? else { return Ok(None) };
    let tokenizer_config = read(Files::TOKENIZER_CONFIG)?;
    let special_tokens_map = read(Files::SPECIAL_TOKENS_MAP)?;
    let generation_config = read(Files::GENERATION_CONFIG)?;
    let config = read(Files::CONFIG)?;
    let chat_template = read(Files::CHAT_TEMPLATE)?;
    let files = Files {
        tokenizer: &tokenizer,
        tokenizer_config: tokenizer_config.as_deref(),
        special_tokens_map: special_tokens_map.as_deref(),
        generation_config: generation_config.as_deref(),
        config: config.as_deref(),
        chat_template: chat_template.as_deref(),
    };
    Ok(Some(Tokenizer::from_files(&files)?))
}
