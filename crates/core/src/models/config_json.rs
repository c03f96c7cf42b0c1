//! A decoder's sizes as a Hugging Face `config.json` says them, and what else it may ask for that is no size.

use serde_json::{Map, Value, json};

use super::{BaseError, Config};

/// What a config may ask of a model, and the values with which the decoder here is that model; `null` and silence are others'.
const PLAIN: [(&str, &[&str]); 9] = [
    ("model_type", &["\"llama\"", "\"mistral\""]),
    ("hidden_act", &["\"silu\"", "\"swish\""]),
    ("attention_bias", &["false"]),
    ("mlp_bias", &["false"]),
    ("sliding_window", &[]),
    ("rope_scaling", &[]),
    ("partial_rotary_factor", &["1", "1.0"]),
    ("quantization_config", &[]),
    ("rope_parameters.rope_type", &["\"default\""]),
];

/// Reads the sizes, and holds the rest to what a decoder here is.
pub(super) fn read(text: &str) -> Result<Config, BaseError> {
    let mut said: Map<String, Value> = serde_json::from_str(text)?;
    // transformers 5 writes what concerns positions in a place of its own.
    if let Some(Value::Object(positions)) = said.remove("rope_parameters") {
        for (name, value) in positions {
            let is_old = ["rope_theta", "partial_rotary_factor"].contains(&&*name);
            let name = if is_old { name } else { format!("rope_parameters.{name}") };
            said.entry(name).or_insert(value);
        }
    }
    if let Some(heads) = said.get("num_attention_heads").cloned() {
        let kv_heads = said.entry("num_key_value_heads").or_insert(Value::Null);
        if kv_heads.is_null() {
            *kv_heads = heads;
        }
    }
    for (key, values) in PLAIN {
        let found = said.get(key).filter(|value| !value.is_null()).map(Value::to_string);
        if let Some(found) = found.filter(|found| !values.contains(&found.as_str())) {
            return Err(BaseError::Unlike { key, found });
        }
    }
    let head_size = said.get("head_dim").and_then(Value::as_u64);
    let config: Config = serde_json::from_value(Value::Object(said))?;
    config.check().map_err(BaseError::Sizes)?;
    match head_size {
        Some(size) if size != config.head_size() as u64 => {
            Err(BaseError::Unlike { key: "head_dim", found: size.to_string() })
        }
        _ => Ok(config),
    }
}

/// Writes the sizes so that transformers, too, knows what model they are of.
pub(super) fn write(config: &Config) -> Result<String, BaseError> {
    let mut said = json!(config);
    said["model_type"] = json!("llama");
    said["architectures"] = json!(["LlamaForCausalLM"]);
    Ok(serde_json::to_string(&said)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{"vocab_size":256,"hidden_size":8,"num_hidden_layers":1,"num_attention_heads":2,"intermediate_size":16,
        "rms_norm_eps":1e-6,"tie_word_embeddings":true,"max_position_embeddings":32}"#;

    fn with(more: &Value) -> Result<Config, BaseError> {
        let mut said: Map<String, Value> = serde_json::from_str(CONFIG).expect("an object");
        said.insert("rope_theta".to_owned(), json!(1e4));
        said.extend(more.as_object().expect("an object").clone());
        read(&Value::Object(said).to_string())
    }

    #[test]
    fn what_is_written_is_read() {
        let config = with(&json!({"num_key_value_heads": 1})).expect("a plain config");
        let text = write(&config).expect("sizes are JSON");
        assert!(text.contains(r#""model_type":"llama""#), "{text}");
        assert_eq!(read(&text).expect("what was written"), config);
    }

    #[test]
    fn a_config_of_any_transformers_is_read() {
        let [old, new] = [json!({}), json!({"rope_theta": null})].map(|more| with(&more).map(|config| config.kv_heads));
        assert_eq!(old.expect("as many heads of keys as of queries"), 2);
        assert!(new.is_err());
        let said = CONFIG.replacen(
            '{',
            r#"{"rope_parameters":{"rope_theta":5e5,"rope_type":"default"},"head_dim":4,"sliding_window":null,"#,
            1,
        );
        assert_eq!(read(&said).expect("as transformers 5 writes it").rope_theta, 5e5);
    }

    #[test]
    fn another_model_is_refused_by_name() {
        let others = [
            json!({"model_type": "qwen2"}),
            json!({"hidden_act": "gelu"}),
            json!({"attention_bias": true}),
            json!({"mlp_bias": true}),
            json!({"sliding_window": 8}),
            json!({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}),
            json!({"rope_parameters": {"rope_type": "yarn"}}),
            json!({"partial_rotary_factor": 0.5}),
            json!({"rope_parameters": {"partial_rotary_factor": 0.5}}),
            json!({"quantization_config": {"bits": 4}}),
            json!({"head_dim": 16}),
        ];
        for other in others {
            let sentence = with(&other).expect_err("another model");
            assert!(matches!(sentence, BaseError::Unlike { .. }), "{sentence}");
        }
        for sizes in [json!({"rope_theta": 0}), json!({"rope_theta": -5}), json!({"rms_norm_eps": -1})] {
            assert!(matches!(with(&sizes), Err(BaseError::Sizes(_))), "{sizes}");
        }
    }
}
