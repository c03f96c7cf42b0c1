//! Reading the files of a tokenizer, as transformers 5 does (`TokenizersBackend` in `tokenization_utils_tokenizers.py`): `tokenizer.json` alone
//! says which special tokens are added around a text; `add_bos_token` of `tokenizer_config.json` is for folders without it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokenizers::{
    AddedToken, Model, ModelWrapper, Tokenizer as Library, models::unigram::Unigram, normalizers::Precompiled,
};

use super::{HuggingFace, bytes::Pieces};
use crate::{Files, Special, TokenizerError, chat::template::Template};

/// Largest file that is read; Gemma's tokenizer.json, the largest known, has 33 MB.
const LARGEST_FILE: usize = 256 << 20;
/// Largest id of a token.
const LARGEST_ID: u64 = 1 << 24;

/// The parts of `tokenizer.json` that are checked before the library reads it.
#[derive(Deserialize)]
struct Outline {
    #[serde(default)]
    added_tokens: Option<Vec<Added>>,
    #[serde(default)]
    decoder: Value,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    post_processor: Value,
    model: Outlined,
}

#[derive(Deserialize)]
struct Added {
    id: u64,
    content: String,
}

#[derive(Deserialize)]
struct Outlined {
    #[serde(rename = "type")]
    kind: Option<String>,
    unk_token: Option<String>,
    unk_id: Option<u64>,
}

/// The tokens of `tokenizer_config.json`, by the name of their role.
const ROLES: [&str; 7] = ["bos_token", "eos_token", "pad_token", "unk_token", "cls_token", "sep_token", "mask_token"];

impl HuggingFace {
    pub(crate) fn read(files: &Files<'_>) -> Result<Self, TokenizerError> {
        let outline: Outline = json(Files::TOKENIZER, files.tokenizer)?;
        let config: Value = optional(Files::TOKENIZER_CONFIG, files.tokenizer_config)?;
        let map: Value = optional(Files::SPECIAL_TOKENS_MAP, files.special_tokens_map)?;
        let mut library = library(&outline, files.tokenizer)?;
        let named = ROLES.map(|role| name(&config, role).or_else(|| name(&map, role)));
        add_tokens(&mut library, &config, &named)?;
        let ids = named.each_ref().map(|name| name.as_deref().and_then(|name| library.token_to_id(name)));
        let [bos, eos, pad, unk, cls, sep, mask] = ids;
        let special = Special { bos, eos, pad, unk, cls, sep, mask };
        let mut ends = ends(&optional(Files::GENERATION_CONFIG, files.generation_config)?);
        if ends.is_empty() {
            ends = self::ends(&optional(Files::CONFIG, files.config)?);
        }
        ends.extend(eos.filter(|eos| !ends.contains(eos)));
        let largest = library.get_vocab(true).into_values().max().unwrap_or(0);
        Ok(Self {
            vocabulary: largest as usize + 1,
            pieces: Pieces::of(&outline.decoder, outline.model.kind.as_deref().unwrap_or_default()),
            special,
            ends,
            template: template(files, &config, &named)?,
            library,
        })
    }
}

/// The JSON of a file.
fn json<T: DeserializeOwned>(file: &'static str, bytes: &[u8]) -> Result<T, TokenizerError> {
    if bytes.len() > LARGEST_FILE {
        return Err(TokenizerError::Huge { file, found: bytes.len(), most: LARGEST_FILE });
    }
    serde_json::from_slice(bytes).map_err(|error| TokenizerError::Damaged { file, what: error.to_string() })
}

/// The JSON of a file that may be missing.
fn optional(file: &'static str, bytes: Option<&[u8]>) -> Result<Value, TokenizerError> {
    bytes.map_or(Ok(Value::Null), |bytes| json(file, bytes))
}

/// The library's tokenizer, without truncation and padding, which transformers uses when asked only.
fn library(outline: &Outline, bytes: &[u8]) -> Result<Library, TokenizerError> {
    let damaged = |what: String| TokenizerError::Damaged { file: Files::TOKENIZER, what };
    // The library adds one to the largest id.
    if let Some(Added { id, content }) = outline.added_tokens.iter().flatten().find(|token| token.id > LARGEST_ID) {
        return Err(TokenizerError::Id { token: content.clone(), id: *id, most: LARGEST_ID });
    }
    checked(outline).map_err(damaged)?;
    let mut library =
        without_panic(|| Library::from_bytes(bytes).map_err(|error| error.to_string())).map_err(damaged)?;
    let model = &outline.model;
    let kind = model.kind.clone().unwrap_or_else(|| kind_of(&library).to_owned());
    let known = |token: &String| library.get_model().token_to_id(token).is_some();
    match kind.as_str() {
        "Unigram" if model.unk_id.is_none() => return Err(TokenizerError::NoUnknown { kind, key: "unk_id" }),
        "WordPiece" | "WordLevel" if !model.unk_token.as_ref().is_some_and(known) => {
            return Err(TokenizerError::NoUnknown { kind, key: "unk_token" });
        }
        "BPE" if model.unk_token.as_ref().is_some_and(|token| !known(token)) => {
            return Err(TokenizerError::NoUnknown { kind, key: "unk_token" });
        }
        _ => {}
    }
    let vocabulary = library.get_vocab(true);
    if vocabulary.is_empty() {
        return Err(damaged("its vocabulary is empty".to_owned()));
    }
    if let Some((token, id)) = vocabulary.into_iter().find(|(_, id)| u64::from(*id) > LARGEST_ID) {
        return Err(TokenizerError::Id { token, id: u64::from(id), most: LARGEST_ID });
    }
    if let ModelWrapper::Unigram(unigram) = library.get_model() {
        let vocabulary = unigram.iter().map(|(token, score)| (token.clone(), rounded_score(*score))).collect();
        let unknown = model.unk_id.and_then(|id| usize::try_from(id).ok());
        let read = Unigram::from(vocabulary, unknown, unigram.byte_fallback());
        library.with_model(read.map_err(|error| damaged(error.to_string()))?);
    }
    library.with_padding(None);
    library.with_truncation(None).map_err(|error| damaged(error.to_string()))?;
    // A rule that cannot be applied fails with any text.
    without_panic(|| library.encode(("a\u{e9} 1\n", "b"), true).map(drop).map_err(|error| error.to_string()))
        .map_err(damaged)?;
    Ok(library)
}

/// A score as the `tokenizers` package of Python reads it, so that texts with two equally likely divisions are divided alike. That package is built
/// without `float_roundtrip` of `serde_json`: it rounds the digits, and then the quotient.
fn rounded_score(score: f64) -> f64 {
    let digits = format!("{:e}", score.abs());
    let rounded = digits.split_once('e').and_then(|(digits, exponent)| {
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let significand: u64 = format!("{whole}{fraction}").parse().ok()?;
        let exponent = exponent.parse::<i32>().ok()? - i32::try_from(fraction.len()).ok()?;
        let power: f64 = format!("1e{}", exponent.abs()).parse().ok()?;
        let significand = significand as f64;
        Some(if exponent < 0 { significand / power } else { significand * power })
    });
    rounded.map_or(score, |rounded| rounded.copysign(score))
}

/// Checks parts that the library takes for valid: precompiled normalizers, and the special tokens of post-processors.
fn checked(outline: &Outline) -> Result<(), String> {
    let parts = |whole: &Value, key: &str| match whole.get(key) {
        Some(Value::Array(parts)) => parts.clone(),
        _ => vec![whole.clone()],
    };
    for normalizer in parts(&outline.normalizer, "normalizers") {
        if normalizer["type"] == "Precompiled" {
            serde_json::from_value::<Precompiled>(normalizer).map_err(|error| error.to_string())?;
        }
    }
    for processor in parts(&outline.post_processor, "processors") {
        for piece in [&processor["single"], &processor["pair"]].into_iter().filter_map(Value::as_array).flatten() {
            if let Some(id) =
                piece["SpecialToken"]["id"].as_str().filter(|id| processor["special_tokens"][id].is_null())
            {
                return Err(format!("its post_processor adds the token `{id}`, which is not among its special_tokens"));
            }
        }
    }
    Ok(())
}

/// Calls the library, which panics on some damaged files instead of returning its error. The state that it leaves is dropped.
fn without_panic<T>(call: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err("the library that reads it fails on its contents".to_owned()))
}

/// The kind of a model whose file does not name it, as old files do not.
fn kind_of(library: &Library) -> &'static str {
    match library.get_model() {
        ModelWrapper::BPE(_) => "BPE",
        ModelWrapper::WordPiece(_) => "WordPiece",
        ModelWrapper::WordLevel(_) => "WordLevel",
        ModelWrapper::Unigram(_) => "Unigram",
    }
}

/// The content of a special token, which is a string or an object.
fn content(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token.get("content")?.as_str()).filter(|content| !content.is_empty())
}

/// The name of the token with a role.
fn name(config: &Value, role: &str) -> Option<String> {
    config.get(role).and_then(content).map(str::to_owned)
}

/// Adds the tokens of `tokenizer_config.json` that `tokenizer.json` lacks: those of `added_tokens_decoder` by their ids, then those with a role.
fn add_tokens(library: &mut Library, config: &Value, named: &[Option<String>]) -> Result<(), TokenizerError> {
    let mut decoder: Vec<(u64, &Value)> = config["added_tokens_decoder"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(id, token)| Some((id.parse().ok()?, token)))
        .collect();
    decoder.sort_by_key(|(id, _)| *id);
    let flag = |token: &Value, name: &str, default| token.get(name).and_then(Value::as_bool).unwrap_or(default);
    let mut tokens: Vec<AddedToken> = Vec::new();
    for (_, token) in decoder {
        let Some(content) = content(token) else { continue };
        let special = flag(token, "special", false) || named.iter().flatten().any(|name| name == content);
        let added = AddedToken::from(content, special)
            .lstrip(flag(token, "lstrip", false))
            .rstrip(flag(token, "rstrip", false))
            .single_word(flag(token, "single_word", false))
            .normalized(flag(token, "normalized", !special));
        tokens.push(added);
    }
    let known = |library: &Library, name: &str| library.get_added_vocabulary().get_vocab().contains_key(name);
    for name in named.iter().flatten() {
        if !known(library, name) && tokens.iter().all(|token| token.content != *name) {
            tokens.push(AddedToken::from(name.as_str(), true));
        }
    }
    let more =
        config["additional_special_tokens"].as_array().into_iter().chain(config["extra_special_tokens"].as_array());
    for name in more.flatten().filter_map(content) {
        if !known(library, name) && tokens.iter().all(|token| token.content != name) {
            tokens.push(AddedToken::from(name, true));
        }
    }
    let added = library.add_tokens(tokens).map(|_| ());
    added.map_err(|error| TokenizerError::Damaged { file: Files::TOKENIZER_CONFIG, what: error.to_string() })
}

/// `eos_token_id`, a number or a list of them.
fn ends(config: &Value) -> Vec<u32> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match &config["eos_token_id"] {
        Value::Array(list) => list.iter().filter_map(id).collect(),
        one => id(one).into_iter().collect(),
    }
}

/// The chat template: of its own file, else of `tokenizer_config.json`, where it may be one of several.
fn template(files: &Files<'_>, config: &Value, named: &[Option<String>]) -> Result<Option<Template>, TokenizerError> {
    let (file, source) = match (files.chat_template, &config["chat_template"]) {
        (Some(bytes), _) => {
            let what = "it is not UTF-8".to_owned();
            let damaged = |_| TokenizerError::Damaged { file: Files::CHAT_TEMPLATE, what };
            (Files::CHAT_TEMPLATE, std::str::from_utf8(bytes).map_err(damaged)?)
        }
        (None, Value::String(source)) => (Files::TOKENIZER_CONFIG, source.as_str()),
        (None, Value::Array(list)) => {
            let named = |wanted: &str| list.iter().find(|one| one["name"] == wanted)?.get("template")?.as_str();
            let Some(source) = named("default") else { return Ok(None) };
            (Files::TOKENIZER_CONFIG, source)
        }
        _ => return Ok(None),
    };
    let names = ROLES.iter().zip(named).filter_map(|(role, name)| Some(((*role).to_owned(), name.clone()?)));
    Template::new(source, file, names).map(Some)
}
