//! Bases in all forms that `--model` takes: the same weights give the same start, and what is damaged is refused by its fault.

use std::fs;

use half::f16;
use loralab_checkpoint::{Bytes, Checkpoint, Format, Stored, read_safetensors, write_safetensors};
use serde_json::{Value, json};

use super::Place;

const NANO: &[u8] = include_bytes!("../../crates/core/bases/nano.safetensors");

/// The tensors of the shipped base nano, and its config.
pub fn nano() -> (Vec<Stored>, String) {
    let Checkpoint { metadata, tensors } = read_safetensors(&Bytes::from_static(NANO)).expect("the shipped base");
    (tensors, metadata["config"].clone())
}

/// A safetensors file of some tensors, without metadata.
pub fn file(tensors: &[Stored]) -> Vec<u8> {
    write_safetensors(&Checkpoint { metadata: [].into(), tensors: tensors.to_vec() }).expect("tensors of their shapes")
}

/// Writes a folder with this config and one file of tensors.
fn write(place: &Place, folder: &str, config: &str, tensors: &[u8]) {
    fs::create_dir_all(place.path(folder)).expect("a folder");
    place.write(&format!("{folder}/config.json"), config);
    place.write(&format!("{folder}/model.safetensors"), tensors);
}

/// Writes a folder with two files and their index.
pub fn write_sharded(place: &Place, folder: &str, config: &str, tensors: &[Stored]) {
    fs::create_dir_all(place.path(folder)).expect("a folder");
    place.write(&format!("{folder}/config.json"), config);
    let mut listed = serde_json::Map::new();
    for (part, tensors) in tensors.chunks(tensors.len().div_ceil(2)).enumerate() {
        let name = format!("model-{:05}-of-00002.safetensors", part + 1);
        listed.extend(tensors.iter().map(|tensor| (tensor.name.clone(), json!(name))));
        place.write(&format!("{folder}/{name}"), file(tensors));
    }
    place.write(&format!("{folder}/model.safetensors.index.json"), json!({"weight_map": listed}).to_string());
}

/// The name that llama.cpp's converter gives a tensor.
fn gguf_name(name: &str) -> String {
    let names = [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("model.layers", "blk"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
    ];
    names.iter().fold(name.to_owned(), |name, (theirs, ours)| name.replace(theirs, ours))
}

/// The rows of queries or keys as llama.cpp's converter orders them: the two halves of a head in turns.
fn permuted(tensor: &Stored, heads: usize) -> Vec<u8> {
    let (rows, size) = (tensor.shape[0], tensor.bytes.len() / tensor.shape[0]);
    let half = rows / heads / 2;
    let from = |row: usize| row / (2 * half) * 2 * half + row % 2 * half + row % (2 * half) / 2;
    (0..rows).flat_map(|row| tensor.bytes[from(row) * size..][..size].to_vec()).collect()
}

/// A GGUF file of nano, as llama.cpp's converter would write it.
pub fn gguf() -> Vec<u8> {
    let (tensors, config) = nano();
    let config: Value = serde_json::from_str(&config).expect("JSON");
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let mut values = vec![[text("general.architecture"), 8_u32.to_le_bytes().to_vec(), text("llama")].concat()];
    for (key, field) in [
        ("context_length", "max_position_embeddings"),
        ("embedding_length", "hidden_size"),
        ("block_count", "num_hidden_layers"),
        ("feed_forward_length", "intermediate_size"),
        ("attention.head_count", "num_attention_heads"),
        ("attention.head_count_kv", "num_key_value_heads"),
    ] {
        let size = config[field].as_u64().expect("a size") as u32;
        values
            .push([text(&format!("llama.{key}")), 4_u32.to_le_bytes().to_vec(), size.to_le_bytes().to_vec()].concat());
    }
    for (key, field) in [("rope.freq_base", "rope_theta"), ("attention.layer_norm_rms_epsilon", "rms_norm_eps")] {
        let number = config[field].as_f64().expect("a number") as f32;
        values.push(
            [text(&format!("llama.{key}")), 6_u32.to_le_bytes().to_vec(), number.to_le_bytes().to_vec()].concat(),
        );
    }
    let (mut described, mut data) = (vec![], vec![]);
    for tensor in &tensors {
        assert_eq!(tensor.format, Format::F16, "nano is stored in f16");
        let heads = |field: &str| config[field].as_u64().expect("a size") as usize;
        let bytes = match &tensor.name {
            name if name.contains("q_proj") => permuted(tensor, heads("num_attention_heads")),
            name if name.contains("k_proj") => permuted(tensor, heads("num_key_value_heads")),
            _ => tensor.bytes.to_vec(),
        };
        described.push(text(&gguf_name(&tensor.name)));
        described.push((tensor.shape.len() as u32).to_le_bytes().to_vec());
        described.extend(tensor.shape.iter().rev().map(|&size| (size as u64).to_le_bytes().to_vec()));
        described.push(1_u32.to_le_bytes().to_vec());
        described.push((data.len() as u64).to_le_bytes().to_vec());
        data.extend(bytes);
        data.resize(data.len().next_multiple_of(32), 0);
    }
    let counts = [tensors.len() as u64, values.len() as u64].map(u64::to_le_bytes).concat();
    let mut file = [&b"GGUF\x03\0\0\0"[..], &counts, &values.concat(), &described.concat()].concat();
    file.resize(file.len().next_multiple_of(32), 0);
    file.extend(data);
    file
}

#[test]
fn the_same_weights_in_every_form_give_the_same_start() {
    let place = Place::new();
    let (tensors, config) = nano();
    write(&place, "folder", &config, &file(&tensors));
    write_sharded(&place, "sharded", &config, &tensors);
    place.write("nano.gguf", gguf());
    let snapshot = "cache/huggingface/hub/models--org--nano/snapshots/0a1b";
    write(&place, snapshot, &config, &file(&tensors));
    fs::create_dir_all(place.path("cache/huggingface/hub/models--org--nano/refs")).expect("a folder");
    place.write("cache/huggingface/hub/models--org--nano/refs/main", "0a1b");
    let start = |model: &str, number: usize| {
        let output = format!("start{number}");
        // A start that is computed from the weights, so that it depends on each of them.
        place.succeed(&["init", "pissa", "--model", model, "--rank", "2", "--output", &output]);
        let tensors = fs::read(place.path(&output).join("adapter_model.safetensors")).expect("tensors");
        (tensors, place.json(&format!("{output}/adapter_config.json")))
    };
    let (expected, _) = start("nano", 0);
    for (number, model) in ["folder", "folder/model.safetensors", "sharded", "nano.gguf", "org/nano", "org/nano@0a1b"]
        .into_iter()
        .enumerate()
    {
        let (found, config) = start(model, number + 1);
        assert!(found == expected, "{model}: the start differs");
        let (name, revision) = model.split_once('@').map_or((model, Value::Null), |(name, end)| (name, json!(end)));
        assert_eq!((&config["base_model_name_or_path"], &config["revision"]), (&json!(name), &revision), "{model}");
    }
    // The adapter finds its base again, by name and revision.
    place.succeed(&["generate", "--adapter", "start6", "--prompt", "a", "--count", "2"]);
    place.succeed(&[
        "train",
        "--model",
        "sharded",
        "--steps",
        "2",
        "--batch-size",
        "2",
        "--validation-examples",
        "4",
        "--quiet",
    ]);
    place.refuse(&["generate", "--model", "org/nano@2c", "--prompt", "a"], 1, &["revision `2c`", "only in 0a1b"]);
    fs::remove_dir_all(place.path("cache")).expect("the cache");
    let words = ["no base `org/nano@0a1b`", "cache/huggingface/hub", "`hf download org/nano --revision 0a1b`"];
    place.refuse(&["generate", "--adapter", "start6", "--prompt", "a"], 1, &words);
}

/// The config of nano with one field changed.
fn changed(field: &str, value: Value) -> String {
    let mut config: Value = serde_json::from_str(&nano().1).expect("JSON");
    config[field] = value;
    config.to_string()
}

/// The tensors of nano with the one at this index changed.
fn with(index: usize, change: impl Fn(&mut Stored)) -> Vec<u8> {
    let mut tensors = nano().0;
    change(&mut tensors[index]);
    file(&tensors)
}

#[test]
fn a_folder_of_another_model_is_refused_by_its_fault() {
    let place = Place::new();
    let (tensors, config) = nano();
    let whole = file(&tensors);
    let name = tensors[0].name.clone();
    let not_finite = |bits: u16| {
        with(0, move |tensor| {
            let mut bytes = tensor.bytes.to_vec();
            bytes[14..16].copy_from_slice(&bits.to_le_bytes());
            tensor.bytes = bytes.into();
        })
    };
    let mut retyped = whole.clone();
    let place_of = retyped.windows(5).position(|part| part == b"\"F16\"").expect("a type");
    retyped[place_of..place_of + 5].copy_from_slice(b"\"I16\"");
    let flat = with(0, |tensor| tensor.shape = vec![tensor.shape.iter().product()]);
    let cases: Vec<(String, Vec<u8>, Vec<&str>)> = vec![
        ("{".to_owned(), whole.clone(), vec!["config.json", "EOF"]),
        ("[]".to_owned(), whole.clone(), vec!["config.json"]),
        ("{}".to_owned(), whole.clone(), vec!["`bad` cannot be used"]),
        ("null".to_owned(), whole.clone(), vec!["config.json"]),
        ("[".repeat(10_000), whole.clone(), vec!["can't be read as a config.json"]),
        (changed("hidden_size", json!(1e300)), whole.clone(), vec!["`bad` cannot be used"]),
        (changed("hidden_size", json!(u64::MAX)), whole.clone(), vec!["`bad` cannot be used"]),
        (
            changed("num_hidden_layers", json!(1_u64 << 62)),
            whole.clone(),
            vec!["num_hidden_layers", "4611686018427387904"],
        ),
        (changed("num_attention_heads", json!(0)), whole.clone(), vec!["`bad` cannot be used", "0"]),
        (changed("intermediate_size", json!(1_u64 << 40)), whole.clone(), vec!["intermediate_size", "1099511627776"]),
        (changed("intermediate_size", json!(1_u64 << 20)), whole.clone(), vec!["has shape", "1048576"]),
        (changed("model_type", json!("t5")), whole.clone(), vec!["\"model_type\": \"t5\""]),
        (changed("vocab_size", json!(300)), whole.clone(), vec!["vocabulary of 300 tokens"]),
        (config.clone(), not_finite(0x7E00), vec![&name, "not finite", "element 7"]),
        (config.clone(), not_finite(0x7C00), vec![&name, "not finite", "element 7"]),
        (config.clone(), retyped, vec!["stored as I16"]),
        (config.clone(), flat, vec![&name, "has shape"]),
        (config.clone(), file(&tensors[1..]), vec!["is missing"]),
        (config.clone(), with(0, |tensor| tensor.name = "stranger".to_owned()), vec!["is missing"]),
        (
            config,
            file(&[&tensors[..], &[Stored::of_f32("stranger".to_owned(), vec![1], &[f16::ONE.to_f32()])]].concat()),
            vec!["tensor `stranger` has no place"],
        ),
    ];
    for (config, tensors, words) in &cases {
        write(&place, "bad", config, tensors);
        place.refuse(&["init", "init-a", "--model", "bad", "--output", "start"], 1, words);
    }
}
