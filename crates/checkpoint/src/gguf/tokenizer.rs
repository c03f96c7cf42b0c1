//! The tokenizer of a GGUF file as the files of a Hugging Face folder.
//!
//! llama.cpp stores the tokens, their types, and merges or scores; how texts are divided is known by a name (`src/llama-vocab.cpp`). transformers makes the
//! same of them (`integrations/gguf/gguf_tokenizer_mapping.py`).

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap},
};

use bytes::Bytes;
use serde_json::{Map, Value as Json, json};

use super::{
    GgufError,
    header::{Header, Value},
};

/// The texts of the files that a tokenizer's folder has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GgufTokenizer {
    /// `tokenizer.json`.
    pub tokenizer: String,
    /// `tokenizer_config.json`: the special tokens, and the chat template.
    pub tokenizer_config: String,
    /// `generation_config.json`: the tokens at which generation stops.
    pub generation_config: String,
}

const MODEL: &str = "tokenizer.ggml.model";
const PRE: &str = "tokenizer.ggml.pre";
const TOKENS: &str = "tokenizer.ggml.tokens";

/// Types of tokens: `TokenType` of gguf-py. Control tokens are special; those defined by the user are found in a text as a whole, too.
const CONTROL: f64 = 3.0;
const USER_DEFINED: f64 = 4.0;

/// The space of SentencePiece.
const SPACE: &str = "▁";

/// Most bytes of a token that merges are looked for in; known ones have at most some 100.
const LONGEST: usize = 512;

/// A division of a text into words before BPE, by the names of `tokenizer.ggml.pre`.
struct Words {
    names: &'static [&'static str],
    /// Regular expressions, one applied to what the last left; GPT-2's own if there are none.
    patterns: &'static [&'static str],
    /// True if a word that is a token is not divided (Llama 3).
    ignores_merges: bool,
    /// True if a text begins with the token that begins texts, unless the file says otherwise.
    adds_bos: bool,
}

/// GPT-2's pattern without its last alternative, which matches what is left.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const WORDS: [Words; 7] = [
    Words { names: &["gpt-2", "phi-2", "olmo", "mpt"], patterns: &[], ignores_merges: false, adds_bos: false },
    Words {
        names: &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"],
        patterns: &[r"\p{N}", GPT2],
        ignores_merges: false,
        adds_bos: false,
    },
    Words {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "lfm2"],
        patterns: &[LLAMA3],
        ignores_merges: true,
        adds_bos: true,
    },
    Words { names: &["dbrx", "smaug-bpe"], patterns: &[LLAMA3], ignores_merges: false, adds_bos: false },
    Words {
        names: &["qwen2", "deepseek-r1-qwen", "megrez"],
        patterns: &[QWEN2],
        ignores_merges: false,
        adds_bos: false,
    },
    Words { names: &["tekken"], patterns: &[TEKKEN], ignores_merges: true, adds_bos: true },
    // llama.cpp does so with files that do not name it.
    Words {
        names: &["default"],
        patterns: &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
        ignores_merges: false,
        adds_bos: false,
    },
];

/// Reads the tokenizer of a GGUF file, or of the first part of one that was split; none if it has none.
///
/// # Errors
/// If the file is damaged, or the tokenizer is of an unknown kind.
pub fn read_gguf_tokenizer(file: &Bytes) -> Result<Option<GgufTokenizer>, GgufError> {
    let metadata = Header::read_lists(file, true)?.metadata;
    let Some(model) = text(&metadata, MODEL)? else { return Ok(None) };
    let vocabulary = Vocabulary::of(&metadata)?;
    let tokenizer = match model {
        "gpt2" => vocabulary.byte_level()?,
        "llama" => vocabulary.sentence_piece()?,
        found => {
            let (found, known) = (found.to_owned(), "gpt2 and llama".to_owned());
            return Err(GgufError::Tokenizer { key: MODEL, found, known });
        }
    };
    Ok(Some(GgufTokenizer {
        tokenizer: tokenizer.to_string(),
        tokenizer_config: vocabulary.config()?.to_string(),
        generation_config: vocabulary.generation_config()?.to_string(),
    }))
}

/// A text of the metadata.
fn text<'m>(metadata: &'m BTreeMap<String, Value>, key: &str) -> Result<Option<&'m str>, GgufError> {
    match metadata.get(key) {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text)),
        Some(_) => Err(wrong(key, "no text", "a text")),
    }
}

fn wrong(key: &str, found: impl Into<String>, needed: &'static str) -> GgufError {
    GgufError::Value { key: key.to_owned(), found: found.into(), needed }
}

/// The tokens, and what is said of them.
struct Vocabulary<'m> {
    metadata: &'m BTreeMap<String, Value>,
    tokens: &'m [String],
    types: &'m [f64],
}

impl<'m> Vocabulary<'m> {
    fn of(metadata: &'m BTreeMap<String, Value>) -> Result<Self, GgufError> {
        let tokens = match metadata.get(TOKENS) {
            Some(Value::Words(tokens)) if !tokens.is_empty() => tokens,
            _ => return Err(wrong(TOKENS, "missing or empty", "a list of texts")),
        };
        let mut vocabulary = Self { metadata, tokens, types: &[] };
        vocabulary.types = vocabulary.numbers("token_type")?.unwrap_or_default();
        Ok(vocabulary)
    }

    /// A list of a number for each token.
    fn numbers(&self, name: &str) -> Result<Option<&'m [f64]>, GgufError> {
        let key = format!("tokenizer.ggml.{name}");
        match self.metadata.get(&key) {
            None => Ok(None),
            Some(Value::Numbers(numbers)) if numbers.len() == self.tokens.len() => Ok(Some(numbers)),
            Some(_) => Err(wrong(&key, "another list", "a number for each token")),
        }
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, GgufError> {
        let key = format!("tokenizer.ggml.{name}");
        match self.metadata.get(&key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(wrong(&key, format!("{other:?}"), "true or false")),
        }
    }

    /// The id of the token with a role, if there is one.
    fn id(&self, role: &str) -> Result<Option<usize>, GgufError> {
        let key = format!("tokenizer.ggml.{role}_token_id");
        match self.metadata.get(&key) {
            None => Ok(None),
            // A file may say so that there is none.
            Some(Value::Integer(id)) if *id == u32::MAX.into() || *id == -1 => Ok(None),
            Some(Value::Integer(id)) => {
                let known = usize::try_from(*id).ok().filter(|id| *id < self.tokens.len());
                known.map(Some).ok_or_else(|| wrong(&key, id.to_string(), "the id of a token"))
            }
            Some(other) => Err(wrong(&key, format!("{other:?}"), "the id of a token")),
        }
    }

    /// The token with a role.
    fn named(&self, role: &str) -> Result<Option<&'m str>, GgufError> {
        Ok(self.id(role)?.map(|id| &*self.tokens[id]))
    }

    /// The pairs that the file lists to be merged, the first one first; none if it lists none.
    fn listed_merges(&self) -> Result<Option<Vec<[&'m str; 2]>>, GgufError> {
        const KEY: &str = "tokenizer.ggml.merges";
        let merges = match self.metadata.get(KEY) {
            None => return Ok(None),
            Some(Value::Words(merges)) => merges,
            Some(_) => return Err(wrong(KEY, "no list of texts", "pairs of tokens, a space between them")),
        };
        let pair = |merge: &'m String| {
            let pair = merge.split_once(' ').map(|(left, right)| [left, right]);
            pair.ok_or_else(|| wrong(KEY, format!("\"{merge}\" in one place"), "pairs of tokens, a space between them"))
        };
        merges.iter().map(pair).collect::<Result<_, _>>().map(Some)
    }

    /// BPE over bytes, each of which is a character (GPT-2).
    fn byte_level(&self) -> Result<Json, GgufError> {
        let name = text(self.metadata, PRE)?.unwrap_or("default");
        let words = WORDS.iter().find(|words| words.names.contains(&name)).ok_or_else(|| {
            let known = WORDS.iter().flat_map(|words| words.names).copied().collect::<Vec<_>>().join(", ");
            GgufError::Tokenizer { key: PRE, found: name.to_owned(), known }
        })?;
        let split = |pattern: &&str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
        let mut steps: Vec<Json> = words.patterns.iter().map(split).collect();
        let own_pattern = steps.is_empty();
        steps.push(
            json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": own_pattern}),
        );
        let merges = self.listed_merges()?;
        let merges = merges.ok_or_else(|| wrong("tokenizer.ggml.merges", "missing", "a list of texts"))?;
        // Qwen's own file composes accents first; those of models that only share its words do not.
        let normalizer = if name == "qwen2" { json!({"type": "NFC"}) } else { Json::Null };
        Ok(json!({
            "version": "1.0",
            "added_tokens": self.added(self.tokens),
            "normalizer": normalizer,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
            "post_processor": self.post_processor(words.adds_bos)?,
            "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "model": {
                "type": "BPE", "unk_token": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": words.ignores_merges,
                "vocab": vocab(self.tokens), "merges": merges,
            },
        }))
    }

    /// SentencePiece's BPE: tokens with scores, or in the order of their merges, and bytes for characters that are in none.
    fn sentence_piece(&self) -> Result<Json, GgufError> {
        let is_gemma = text(self.metadata, "general.architecture")?.is_some_and(|name| name.starts_with("gemma"));
        // The converter writes runs of spaces as they are, but a text has other characters in their place.
        let respelled = |token: &String| match is_gemma && token.contains(' ') && token.trim().is_empty() {
            true => SPACE.repeat(token.chars().count()),
            false => token.clone(),
        };
        let tokens: Vec<String> = self.tokens.iter().map(respelled).collect();
        let scores = self.numbers("scores")?;
        let merges = match (self.listed_merges()?, scores) {
            (Some(merges), _) => merges,
            // Gemma's scores do not follow the order of its merges, the tokens do.
            (None, _) if is_gemma => merges(&tokens, |token| -(token as f64)),
            (None, Some(scores)) => merges(&tokens, |token| scores[token]),
            (None, None) => return Err(wrong("tokenizer.ggml.scores", "missing", "a number for each token")),
        };
        let prefix = !is_gemma && self.flag("add_space_prefix")?.unwrap_or(true);
        let (normalizer, pre_tokenizer) = match is_gemma {
            true => (json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE}), Json::Null),
            false => {
                let scheme = if prefix { "first" } else { "never" };
                let metaspace =
                    json!({"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": false});
                (Json::Null, metaspace)
            }
        };
        let mut decoders = vec![
            json!({"type": "Replace", "pattern": {"String": SPACE}, "content": " "}),
            json!({"type": "ByteFallback"}),
            json!({"type": "Fuse"}),
        ];
        if prefix {
            decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
        }
        Ok(json!({
            "version": "1.0",
            "added_tokens": self.added(&tokens),
            "normalizer": normalizer,
            "pre_tokenizer": pre_tokenizer,
            "post_processor": self.post_processor(true)?,
            "decoder": {"type": "Sequence", "decoders": decoders},
            "model": {
                "type": "BPE", "unk_token": self.named("unknown")?.unwrap_or("<unk>"), "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
                "vocab": vocab(&tokens), "merges": merges,
            },
        }))
    }

    /// The tokens that are found in a text before it is divided: `spelled` as the vocabulary has them.
    fn added(&self, spelled: &[String]) -> Vec<Json> {
        let tokens = self.tokens.iter().zip(spelled).zip(self.types).enumerate();
        let found =
            tokens.filter(|(_, ((own, spelled), kind))| **kind == CONTROL || **kind == USER_DEFINED && own == spelled);
        let added = found.map(|(id, ((own, _), kind))| {
            let special = *kind == CONTROL;
            json!({"id": id, "content": own, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": special})
        });
        added.collect()
    }

    /// The tokens that are put around a text and a pair of texts.
    fn post_processor(&self, adds_bos: bool) -> Result<Json, GgufError> {
        let mut special = Map::new();
        let mut around = |role: &str, adds: bool| -> Result<Option<&'m str>, GgufError> {
            let (name, key) = (self.named(role)?, format!("tokenizer.ggml.{role}_token_id"));
            let Some(name) = name.filter(|_| adds) else {
                return if adds { Err(wrong(&key, "missing", "the id of a token")) } else { Ok(None) };
            };
            special.insert(name.to_owned(), json!({"id": name, "ids": [self.id(role)?], "tokens": [name]}));
            Ok(Some(name))
        };
        let first = around("bos", self.flag("add_bos_token")?.unwrap_or(adds_bos))?;
        let last = around("eos", self.flag("add_eos_token")?.unwrap_or(false))?;
        let of_type = |sequence: &str, type_id: usize| -> Vec<Json> {
            let token = |name: &str| json!({"SpecialToken": {"id": name, "type_id": type_id}});
            let text = json!({"Sequence": {"id": sequence, "type_id": type_id}});
            first.map(token).into_iter().chain([text]).chain(last.map(token)).collect()
        };
        let (one, other) = (of_type("A", 0), of_type("B", 1));
        let pair = [one.clone(), other].concat();
        Ok(json!({"type": "TemplateProcessing", "single": one, "pair": pair, "special_tokens": special}))
    }

    /// The special tokens by their roles, and the chat template.
    fn config(&self) -> Result<Json, GgufError> {
        let mut config = Map::new();
        for (role, name) in [("bos", "bos"), ("eos", "eos"), ("unknown", "unk"), ("padding", "pad")] {
            if let Some(token) = self.named(role)? {
                config.insert(format!("{name}_token"), token.into());
            }
        }
        if let Some(template) = text(self.metadata, "tokenizer.chat_template")? {
            config.insert("chat_template".to_owned(), template.into());
        }
        Ok(Json::Object(config))
    }

    /// The tokens that end a text, and a turn of a conversation.
    fn generation_config(&self) -> Result<Json, GgufError> {
        let ids: Vec<usize> =
            ["eos", "eot"].iter().filter_map(|role| self.id(role).transpose()).collect::<Result<_, _>>()?;
        Ok(json!({"eos_token_id": ids}))
    }
}

/// The ids of tokens; the first of equal ones.
fn vocab(tokens: &[String]) -> Map<String, Json> {
    let mut vocab = Map::new();
    for (id, token) in tokens.iter().enumerate() {
        vocab.entry(token.clone()).or_insert(id.into());
    }
    vocab
}

/// The merges that a vocabulary implies: each token from every two that it consists of, those of the highest rank first, as `generate_merges` of
/// transformers (`tokenization_utils_base.py`) orders them.
fn merges(tokens: &[String], rank: impl Fn(usize) -> f64) -> Vec<[&str; 2]> {
    let mut ids: HashMap<&str, usize> = HashMap::new();
    for (id, token) in tokens.iter().enumerate() {
        ids.entry(token).or_insert(id);
    }
    let mut merges: Vec<(f64, [usize; 2], [&str; 2])> = vec![];
    for (id, token) in tokens.iter().enumerate().filter(|(id, token)| token.len() <= LONGEST && ids[&***token] == *id) {
        let parts = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
        let mut known: Vec<(&str, &str)> =
            parts.filter(|(left, right)| ids.contains_key(left) && ids.contains_key(right)).collect();
        known.sort_by_key(|(left, right)| (ids[left], ids[right]));
        let lengths = |pair: [&str; 2]| pair.map(|part| part.chars().count());
        merges.extend(known.into_iter().map(|(left, right)| (rank(id), lengths([left, right]), [left, right])));
    }
    // Equal ones stay in their order.
    merges.sort_by(|(one, lengths, _), (other, others, _)| {
        other.partial_cmp(one).unwrap_or(Ordering::Equal).then_with(|| others.cmp(lengths))
    });
    merges.into_iter().map(|(_, _, pair)| pair).collect()
}
