//! GGUF files that the gguf package of Python wrote, read as the checkpoints that they stand for.

use std::{fs, path::PathBuf};

use loralab_checkpoint::{Bytes, Checkpoint, CheckpointError, Format, read_gguf, read_safetensors};
use serde_json::{Value, json};

fn fixture(name: &str) -> Bytes {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures", name].iter().collect();
    fs::read(&path).expect("make_gguf.py wrote it").into()
}

fn read(names: &[&str]) -> Checkpoint {
    read_gguf(&names.iter().map(|name| fixture(name)).collect::<Vec<_>>()).expect("a whole file")
}

/// The elements that the script gave the tensor of this name.
fn elements(name: &str, shape: &[usize]) -> Vec<f32> {
    let columns = *shape.last().expect("a shape");
    let sum: usize = name.bytes().map(usize::from).sum();
    let element = |index: usize| (((index / columns * 7 + index % columns * 3 + sum) % 64) as f32 - 32.0) / 32.0;
    (0..shape.iter().product()).map(element).collect()
}

/// The names of a decoder's tensors.
fn names(more: &[&str], layer: &[&str]) -> Vec<String> {
    let modules = [
        "input_layernorm",
        "post_attention_layernorm",
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.o_proj",
        "mlp.gate_proj",
        "mlp.up_proj",
        "mlp.down_proj",
    ];
    let modules = modules.map(|module| format!("{module}.weight")).into_iter();
    let modules: Vec<String> = modules.chain(layer.iter().map(|&name| name.to_owned())).collect();
    let inside = (0..2).flat_map(|layer| modules.iter().map(move |module| format!("model.layers.{layer}.{module}")));
    let mut names: Vec<String> = inside.collect();
    names.extend(["model.embed_tokens.weight", "model.norm.weight"].iter().chain(more).map(|&name| name.to_owned()));
    names.sort();
    names
}

fn check(read: &Checkpoint, names: &[String], config: &Value) {
    for tensor in &read.tensors {
        assert_eq!(tensor.to_f32(), Some(elements(&tensor.name, &tensor.shape)), "{}", tensor.name);
    }
    let mut found: Vec<&str> = read.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    found.sort_unstable();
    assert_eq!(found, names);
    let read: Value = serde_json::from_str(&read.metadata["config"]).expect("JSON");
    assert_eq!(&read, config);
}

fn config(more: Value) -> Value {
    let mut config = json!({
        "vocab_size": 12, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 24,
        "head_dim": 16, "max_position_embeddings": 32, "rms_norm_eps": 1e-5, "tie_word_embeddings": true, "rope_theta": 1e6,
    });
    let Value::Object(more) = more else { panic!("settings are an object") };
    config.as_object_mut().expect("an object").extend(more);
    config
}

#[test]
fn llama_has_its_rows_and_rotary_scaling_back() {
    let expected = config(json!({
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_act": "silu", "rope_theta": 5e5, "tie_word_embeddings": false,
        "rope_scaling": {
            "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
        },
    }));
    check(&read(&["llama.gguf"]), &names(&["lm_head.weight"], &[]), &expected);
    let error = read_gguf(&[fixture("rotary.gguf")]).expect_err("other factors").to_string();
    assert!(error.contains("rotary factors"), "{error}");
}

#[test]
fn qwen_keeps_its_rows_biases_and_norms() {
    let expected = config(json!({"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "hidden_act": "silu"}));
    let biases = ["self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"];
    let file = fixture("qwen2.gguf");
    let qwen2 = read_gguf(std::slice::from_ref(&file)).expect("a whole file");
    check(&qwen2, &names(&[], &biases), &expected);
    let places = file.as_ptr_range();
    assert!(qwen2.tensors.iter().all(|tensor| places.contains(&tensor.bytes.as_ptr())), "a tensor was copied");
    let expected = config(json!({"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "hidden_act": "silu"}));
    let norms = ["self_attn.q_norm.weight", "self_attn.k_norm.weight"];
    let qwen3 = read(&["qwen3.gguf"]);
    check(&qwen3, &names(&[], &norms), &expected);
    assert!(qwen3.tensors.iter().any(|tensor| tensor.format == Format::Bf16));
}

#[test]
fn gemma_has_its_norms_back_and_parts_are_one_file() {
    let norms = ["pre_feedforward_layernorm.weight", "post_feedforward_layernorm.weight"];
    let expected = config(json!({
        "model_type": "gemma2", "architectures": ["Gemma2ForCausalLM"], "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 16,
        "sliding_window": 8, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0,
        "layer_types": ["sliding_attention", "full_attention"],
    }));
    check(&read(&["gemma2.gguf"]), &names(&[], &norms), &expected);
    let expected = config(json!({
        "model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"], "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 16,
        "sliding_window": 8, "rope_local_base_freq": 1e4, "layer_types": ["sliding_attention", "sliding_attention"],
    }));
    let norms = [&norms[..], &["self_attn.q_norm.weight", "self_attn.k_norm.weight"]].concat();
    let parts = ["gemma3-00001-of-00003.gguf", "gemma3-00002-of-00003.gguf", "gemma3-00003-of-00003.gguf"];
    check(&read(&parts), &names(&[], &norms), &expected);
    let error = read_gguf(&parts.map(fixture)[..2]).expect_err("a part is missing").to_string();
    assert!(error.contains("one of 3 parts, but 2"), "{error}");
}

#[test]
fn blocks_have_ggmls_values() {
    let file = read_safetensors(&fixture("blocks.safetensors")).expect("a whole file");
    let types = loralab_checkpoint::Blocks::ALL;
    for blocks in types {
        let [raw, values] =
            ["blocks", "values"].map(|part| file.tensor(&format!("{blocks}.{part}")).expect("of every type"));
        let decoded = blocks.decode(&raw.bytes);
        let expected = values.to_f32().expect("f32");
        assert_eq!(decoded.len(), expected.len(), "{blocks}");
        let differs = decoded.iter().zip(&expected).position(|(x, y)| x.to_bits() != y.to_bits());
        assert_eq!(differs, None, "{blocks}");
    }
}

#[test]
fn a_cut_file_is_refused_wherever_it_is_cut() {
    let file = fixture("llama.gguf");
    for length in (4..file.len()).step_by(7) {
        let error = read_gguf(&[file.slice(..length)]).expect_err("a cut file");
        assert!(matches!(error, CheckpointError::Gguf(_)), "{error}");
    }
}
