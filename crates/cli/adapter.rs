//! Adapters that speak: their folders, the base that they belong to, and the sentences about both.

use std::path::{Path, PathBuf};

use anyhow::{Error, Result, anyhow};
use loralab_checkpoint::files::is_hub_name;
use loralab_core::{
    lab::{GenerateError, Generator, quantiser, residual_of},
    lora::peft::Adapter,
    models,
};
use loralab_experiment::{Base, Quantize};
use loralab_tokenizer::Tokenizer;

use crate::{
    base::{self, Loaded},
    failure::usage,
    results::BASE,
    source,
    terminal::note,
};

/// Most tokens of the window, whose keys and values a cache holds: a text that is longer is continued from its last tokens.
pub const LONGEST_WINDOW: usize = 8192;

/// A base and adapters of it.
pub struct Speakers {
    /// The base.
    pub base: models::Base,
    /// Its name.
    pub name: String,
    /// The tokenizer of its texts.
    pub tokenizer: Tokenizer,
    /// The adapters, in the order of their folders.
    pub adapters: Vec<Adapter>,
}

/// Loads adapters and the base that was asked for, else the first adapter's; in the bits that were asked for, else in those that the adapters were trained on.
///
/// # Errors
/// If a file is missing or damaged, or it is not known which base is meant.
pub fn load(asked: Option<&str>, bits: Option<Quantize>, folders: &[PathBuf]) -> Result<Speakers> {
    let mut adapters: Vec<Adapter> = folders.iter().map(|folder| source::adapter(folder)).collect::<Result<_>>()?;
    let beside = folders.first().map(|folder| folder.join(BASE)).filter(|path| path.is_file());
    let chosen = choose_base(asked, adapters.first(), beside.as_deref())?;
    let is_whole = |adapter: &&mut Adapter| adapter.quantised_base.as_ref().is_some_and(|own| own.whole);
    let quantiser = match bits {
        Some(bits) => {
            adapters.iter_mut().filter(is_whole).for_each(|adapter| adapter.quantised_base = None);
            quantiser(bits)
        }
        None => {
            let own = adapters.iter_mut().find(is_whole).and_then(|adapter| adapter.quantised_base.as_ref());
            own.map(|own| own.quantiser)
        }
    };
    if let (None, Some(quantiser)) = (bits, quantiser) {
        note(format_args!(
            "The base is quantised to {quantiser}, as it was when the adapter was trained; `--quantize` says otherwise."
        ));
    }
    let Loaded { base, name, tokenizer } = base::load(&chosen, quantiser)?;
    Ok(Speakers { base, name, tokenizer, adapters })
}

/// The error of a generator in the words of the command.
pub fn explained(error: GenerateError, base: &str) -> Error {
    match error {
        GenerateError::Adapter(sentence) => {
            anyhow!("{sentence}; it was not made for the base `{base}`, choose another with `--base`")
        }
        error => anyhow!(error),
    }
}

/// Says which layers adapters leave alone though they name them.
pub fn note_left_alone(generator: &Generator<'_>) {
    for &[absent, named] in generator.left_alone().iter().filter(|[absent, _]| *absent > 0) {
        note(format_args!(
            "The adapter has no tensors for {absent} of the {named} layers that its configuration names; they are as in the base."
        ));
    }
}

/// The base that `--base` names, else the adapter's. If the adapter's start was subtracted from the base, that is the file beside the adapter.
fn choose_base(asked: Option<&str>, adapter: Option<&Adapter>, beside: Option<&Path>) -> Result<Base> {
    if let Some(whole) = adapter.and_then(|adapter| residual_of(&adapter.base)) {
        return match (asked, beside) {
            (Some(asked), _) if asked == whole => Err(usage(format_args!(
                "the adapter belongs to `{whole}` less the adapter's start, not to `{whole}` itself; name the {BASE} that `loralab init` wrote with the start"
            ))),
            (Some(path), _) => Ok(Base::Path(path.to_owned())),
            (None, Some(path)) => Ok(Base::Path(path.display().to_string())),
            (None, None) => Err(usage(format_args!(
                "the adapter belongs to `{whole}` less the adapter's start, which is not here; name the {BASE} that `loralab init` wrote with the start by `--base`"
            ))),
        };
    }
    // A quantised base is made from the stored one when the adapter is added.
    let own =
        |adapter: &'_ Adapter| adapter.quantised_base.as_ref().map_or(&adapter.base, |stored| &stored.base).clone();
    let remembered = adapter.map(own).filter(|name| !name.is_empty());
    match (asked, remembered.as_deref()) {
        (None, None) | (Some("tiny"), _) | (None, Some("tiny")) => Ok(Base::Tiny),
        (Some("nano"), _) | (None, Some("nano")) => Ok(Base::Nano),
        (Some(path), _) => Ok(Base::Path(path.to_owned())),
        (None, Some(path)) if Path::new(path).exists() || is_hub_name(path) => Ok(Base::Path(path.to_owned())),
        (None, Some(name)) => Err(usage(format_args!(
            "the adapter belongs to the base `{name}`, which is not here; name its file with `--base`"
        ))),
    }
}
