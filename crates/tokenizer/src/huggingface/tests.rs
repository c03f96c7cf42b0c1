//! Against transformers, by the fixture of `tests/fixtures/make_tokens.py`; damaged files.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{Files, Message, Special, Taught, Tokenizer, TokenizerError};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn expected() -> Value {
    serde_json::from_slice(&std::fs::read(fixtures().join("tokens.json")).expect("the fixture")).expect("JSON")
}

/// The tokenizer of a folder; files that are not there are missing.
fn folder(path: &Path) -> Tokenizer {
    let read = |name: &str| std::fs::read(path.join(name)).ok();
    let tokenizer = read(Files::TOKENIZER).expect("a tokenizer.json");
    let beside = [
        Files::TOKENIZER_CONFIG,
        Files::SPECIAL_TOKENS_MAP,
        Files::GENERATION_CONFIG,
        Files::CONFIG,
        Files::CHAT_TEMPLATE,
    ];
    let beside = beside.map(read);
    let [tokenizer_config, special_tokens_map, generation_config, config, chat_template] =
        beside.each_ref().map(Option::as_deref);
    let tokenizer = &tokenizer[..];
    let files = Files { tokenizer, tokenizer_config, special_tokens_map, generation_config, config, chat_template };
    Tokenizer::from_files(&files).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A real model's folder, if it is on this machine.
fn real(name: &str) -> Option<PathBuf> {
    let cache = || Some(Path::new(&std::env::var_os("HOME")?).join(".cache/loralab-models"));
    let folder = std::env::var_os("LORALAB_MODELS").map(PathBuf::from).or_else(cache)?.join(name);
    if folder.join("tokenizer.json").is_file() {
        return Some(folder);
    }
    eprintln!("SKIPPED: {name} is not on this machine; `../shared/tools/get-models` makes it");
    None
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).expect("ids")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

#[test]
fn small_tokenizers_of_each_kind_are_transformers() {
    let expected = expected();
    for name in ["bpe", "wordpiece", "unigram"] {
        let (tokenizer, wanted) = (folder(&fixtures().join(name)), &expected["small"][name]);
        let list = |key: &str| wanted[key].as_array().expect("a list").clone();
        let strings = expected["strings"].as_array().expect("strings").iter().map(text);
        for ((string, special), plain) in strings.clone().zip(list("special")).zip(list("plain")) {
            assert_eq!(tokenizer.encode_with_special(string), ids(&special), "{name} {string:?}");
            assert_eq!(tokenizer.encode(string), ids(&plain), "{name} {string:?}");
        }
        for pair in list("pairs") {
            let encoded = tokenizer.encode_pair(text(&pair[0]), Some(text(&pair[1])));
            assert_eq!((encoded.tokens, encoded.types), (ids(&pair[2]), ids(&pair[3])), "{name} {pair}");
        }
        for ((tokens, whole), plain) in list("special").iter().zip(list("decoded")).zip(list("decoded_plain")) {
            assert_eq!(tokenizer.decode(&ids(tokens)), text(&whole), "{name} {tokens}");
            assert_eq!(tokenizer.decode_plain(&ids(tokens)), text(&plain), "{name} {tokens}");
        }
    }
}

#[test]
fn real_tokenizers_are_transformers() {
    let expected = expected();
    for name in ["smollm2-135m", "minilm"] {
        let Some(path) = real(name) else { continue };
        let tokenizer = folder(&path);
        let strings = expected["strings"].as_array().expect("strings");
        let wanted = expected["real"][name].as_array().expect("ids");
        assert_eq!((strings.len(), wanted.len()), (500, 500));
        for (string, wanted) in strings.iter().map(text).zip(wanted) {
            assert_eq!(tokenizer.encode_with_special(string), ids(wanted), "{name} {string:?}");
        }
    }
}

#[test]
fn special_tokens_have_their_roles() {
    let bpe = folder(&fixtures().join("bpe"));
    let wanted =
        Special { bos: Some(0), eos: Some(2), pad: Some(1), unk: Some(3), cls: Some(0), sep: Some(2), mask: Some(4) };
    assert_eq!((bpe.special(), bpe.ends(), bpe.padding()), (wanted, &[2][..], 1));
    assert_eq!(bpe.vocabulary(), 420);
    assert!(bpe.check(420).is_ok() && bpe.check(512).is_ok());
    let error = bpe.check(419).expect_err("a token has no row").to_string();
    assert!(error.contains("419") && error.contains("420"), "{error}");
    assert_eq!(bpe.encode_prompt("a b"), [&[0], &bpe.encode("a b")[..]].concat());
    assert_eq!(folder(&fixtures().join("wordpiece")).encode_prompt(""), [2, 3]);
}

#[test]
fn a_model_may_have_several_end_tokens() {
    let tokenizer = std::fs::read(fixtures().join("bpe/tokenizer.json")).expect("the fixture");
    let config = br#"{"eos_token": "<|im_end|>"}"#;
    let ends = |generation: Option<&[u8]>, model: Option<&[u8]>| {
        let tokenizer_config = Some(&config[..]);
        let files = Files {
            tokenizer: &tokenizer,
            tokenizer_config,
            generation_config: generation,
            config: model,
            ..Files::default()
        };
        Tokenizer::from_files(&files).expect("a tokenizer").ends().to_vec()
    };
    assert_eq!(ends(None, None), [6]);
    assert_eq!(ends(Some(br#"{"eos_token_id": [2, 1]}"#), Some(br#"{"eos_token_id": 3}"#)), [2, 1, 6]);
    assert_eq!(ends(Some(br#"{"eos_token_id": 6}"#), None), [6]);
    assert_eq!(ends(Some(b"{}"), Some(br#"{"eos_token_id": 2}"#)), [2, 6]);
}

#[test]
fn bytes_of_tokens_sum_to_the_text() {
    let (bpe, unigram) = (folder(&fixtures().join("bpe")), folder(&fixtures().join("unigram")));
    let expected = expected();
    let count = |tokenizer: &Tokenizer, text: &str| -> usize {
        tokenizer.encode_with_special(text).iter().map(|&token| tokenizer.bytes_of(token)).sum()
    };
    for string in expected["strings"].as_array().expect("strings").iter().map(text) {
        // A special token in the text counts nothing.
        if !["<s>", "</s>", "<pad>", "<unk>", "<mask>", "<|im"].iter().any(|special| string.contains(special)) {
            assert_eq!(count(&bpe, string), string.len(), "{string:?}");
        }
    }
    assert_eq!(count(&unigram, "the time of day"), " the time of day".len());
    assert_eq!(count(&folder(&fixtures().join("wordpiece")), "the time of day"), " the time of day".len());
    assert_eq!(bpe.bytes_of(10_000), 0);
}

#[test]
fn a_stream_says_what_the_whole_says() {
    let expected = expected();
    for name in ["bpe", "wordpiece", "unigram"] {
        let tokenizer = folder(&fixtures().join(name));
        for string in expected["strings"].as_array().expect("strings").iter().take(150).map(text) {
            let tokens = tokenizer.encode(string);
            let mut stream = tokenizer.stream();
            let mut said: String = tokens.iter().map(|&token| stream.push(token)).collect();
            said += &stream.finish();
            assert_eq!(said, tokenizer.decode_plain(&tokens), "{name} {string:?}");
        }
    }
}

#[test]
fn a_conversation_teaches_answers_and_their_ends() {
    let Some(path) = real("smollm2-135m") else { return };
    let tokenizer = folder(&path);
    let messages = [
        Message::new("user", "Hi"),
        Message::new("assistant", "Hello 12!"),
        Message::new("user", "Bye"),
        Message::new("assistant", "Bye."),
    ];
    let tokens = tokenizer.conversation(&messages).expect("a conversation");
    let all: Vec<u32> = tokens.iter().map(|one| one.token).collect();
    assert_eq!(all, tokenizer.encode(&tokenizer.chat(&messages, false).expect("a text")));
    let taught: Vec<u32> = tokens.iter().filter(|Taught { taught, .. }| *taught).map(|one| one.token).collect();
    assert_eq!(tokenizer.decode(&taught), "Hello 12!<|im_end|>Bye.<|im_end|>");
    assert_eq!(tokenizer.ends(), [2]);
}

#[test]
fn a_damaged_tokenizer_is_a_sentence() {
    let whole = std::fs::read_to_string(fixtures().join("unigram/tokenizer.json")).expect("the fixture");
    let value: Value = serde_json::from_str(&whole).expect("JSON");
    let with = |pointer: &str, new: Value| {
        let mut value = value.clone();
        *value.pointer_mut(pointer).expect("a field") = new;
        value.to_string()
    };
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let damaged = [
        String::new(),
        "{}".to_owned(),
        "[]".to_owned(),
        whole[..whole.len() / 2].to_owned(),
        deep,
        with("/model/type", json!("Markov")),
        with("/model/vocab", json!([])),
        with("/model/vocab", json!({"a": "b"})),
        with("/model/unk_id", json!(null)),
        with("/model/unk_id", json!(1_000_000)),
        with(
            "/pre_tokenizer",
            json!({"type": "Split", "pattern": {"Regex": "(("}, "behavior": "Isolated", "invert": false}),
        ),
        with("/pre_tokenizer", json!({"type": "Unheard"})),
        with("/normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"})),
        with("/added_tokens/0/id", json!(4_294_967_295_u64)),
        with("/added_tokens/0/id", json!(-1)),
        with("/post_processor/special_tokens", json!({})),
        with("/model", json!({"type": "BPE", "vocab": {"a": 4_000_000_000_u64}, "merges": []})),
        with("/model", json!({"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "b"]]})),
        with("/model", json!({"type": "BPE", "vocab": {"a": 0}, "merges": [], "unk_token": "b"})),
        with(
            "/model",
            json!({"type": "WordPiece", "vocab": {"a": 0}, "unk_token": "b", "continuing_subword_prefix": "##", "max_input_chars_per_word": 9}),
        ),
        with("/model", json!({"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "b"})),
    ];
    for text in &damaged {
        let files = Files { tokenizer: text.as_bytes(), ..Files::default() };
        let error = Tokenizer::from_files(&files).expect_err(&text[..text.len().min(300)]).to_string();
        assert!(error.contains("tokenizer.json"), "{error}");
    }
    let config = |config: &str| {
        let files =
            Files { tokenizer: whole.as_bytes(), tokenizer_config: Some(config.as_bytes()), ..Files::default() };
        Tokenizer::from_files(&files)
    };
    assert!(matches!(config("{"), Err(TokenizerError::Damaged { file: "tokenizer_config.json", .. })));
    assert!(matches!(config(r#"{"chat_template": "{% for"}"#), Err(TokenizerError::Template { .. })));
    assert!(config(r#"{"bos_token": 7, "chat_template": {"a": 1}, "added_tokens_decoder": []}"#).is_ok());
}

/// Bytes that are changed one by one never make the library panic, neither when it reads nor when it encodes.
#[test]
fn changed_bytes_do_no_harm() {
    let seconds = std::env::var("LORALAB_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(2.0);
    let begun = std::time::Instant::now();
    let mut state = 1_u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let wholes = ["bpe", "wordpiece", "unigram"]
        .map(|name| std::fs::read(fixtures().join(name).join("tokenizer.json")).expect("the fixture"));
    let mut read = 0;
    while begun.elapsed().as_secs_f64() < seconds {
        let mut bytes = wholes[draw(3)].clone();
        for _ in 0..=draw(3) {
            // Most of the file is vocabulary; the settings stand at its ends.
            let at = if draw(2) == 0 { draw(bytes.len()) } else { draw(bytes.len().min(2500)) };
            bytes[at] = b"0123456789-\"[]{},:abtrue\\ "[draw(26)];
        }
        if let Ok(tokenizer) = Tokenizer::from_files(&Files { tokenizer: &bytes, ..Files::default() }) {
            read += 1;
            let tokens = tokenizer.encode_with_special("The día 1234 <s>\r\n 中文 😀 ##a ▁b");
            tokenizer.decode(&tokens);
            assert!(tokens.iter().all(|&token| (token as usize) < tokenizer.vocabulary()));
        }
    }
    assert!(read > 0, "some change leaves the file readable");
}
