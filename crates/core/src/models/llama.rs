//! Llama and the models of its kind: Llama 1 to 3, TinyLlama, SmolLM 1 to 3, Mistral. RMSNorm, rotary positions, grouped-query causal attention, SwiGLU.
//! Tensors have their Hugging Face names.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

pub use super::decoder::MODULES;
use super::{
    BaseError, Family, Fields, Model, Network,
    decoder::{Activation, Biases, Decoder, Defaults, Layer},
    fields::Accepted,
    rotary::RotaryConfig,
};
use crate::graph::{
    memory::{Group, Span},
    ops::{Attend, Offset, Rotary},
};

/// Sizes of a plain Llama decoder, such as pretraining makes; the JSON names are those of Hugging Face's `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Vocabulary size V.
    #[serde(rename = "vocab_size")]
    pub vocabulary: usize,
    /// Width of the residual stream.
    #[serde(rename = "hidden_size")]
    pub width: usize,
    /// Number of layers L.
    #[serde(rename = "num_hidden_layers")]
    pub layers: usize,
    /// Number of attention heads H; the head size D is `width / heads`.
    #[serde(rename = "num_attention_heads")]
    pub heads: usize,
    /// Number of key and value heads; divides H.
    #[serde(rename = "num_key_value_heads")]
    pub kv_heads: usize,
    /// Output columns of the gate and up projections.
    #[serde(rename = "intermediate_size")]
    pub feed_forward: usize,
    /// Base of the rotary wavelengths.
    pub rope_theta: f64,
    /// ε of RMSNorm.
    #[serde(rename = "rms_norm_eps")]
    pub epsilon: f64,
    /// True if the embedding is also the output matrix that gives the logits.
    #[serde(rename = "tie_word_embeddings")]
    pub tied: bool,
    /// Longest sequence that the model was trained on, in tokens.
    #[serde(rename = "max_position_embeddings")]
    pub tokens: usize,
}

impl Config {
    /// Checks that these sizes describe a valid decoder.
    ///
    /// # Errors
    /// A sentence that names the inconsistent sizes.
    pub fn check(&self) -> Result<(), String> {
        let Config { vocabulary, width, layers, heads, kv_heads, feed_forward, tokens, .. } = *self;
        let sizes = [vocabulary, width, layers, heads, kv_heads, feed_forward, tokens];
        if sizes.contains(&0) {
            let names = "vocabulary, width, layers, heads, key-value heads, feed-forward, tokens";
            Err(format!("a size is 0 ({names}: {sizes:?})"))
        } else if !width.is_multiple_of(heads) || !(width / heads).is_multiple_of(2) {
            Err(format!("width {width} does not split into {heads} heads of an even size"))
        } else if !(self.rope_theta > 0.0 && self.rope_theta.is_finite()) {
            Err(format!("the rotary wavelengths have the base {}, which is no number above 0", self.rope_theta))
        } else if !(self.epsilon >= 0.0 && self.epsilon.is_finite()) {
            Err(format!("the norms have an ε of {}, which is below 0 or no number", self.epsilon))
        } else {
            self.decoder().check()
        }
    }

    /// Head size D.
    pub fn head_size(&self) -> usize {
        self.width / self.heads.max(1)
    }

    fn decoder(&self) -> Decoder {
        let head_size = self.head_size();
        Decoder {
            vocabulary: self.vocabulary,
            width: self.width,
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_size,
            feed_forward: self.feed_forward,
            longest: self.tokens,
            layers: vec![Layer { rotary: Some(0), window: None }; self.layers],
            rotaries: vec![Rotary::plain(self.rope_theta, head_size)],
            epsilon: self.epsilon,
            gain_offset: Offset::Zero,
            norms_behind: false,
            head_norms: false,
            biases: Biases::default(),
            activation: Activation::Silu,
            embedding_scale: 1.0,
            attention_scale: Attend::causal(head_size).scale,
            attention_cap: None,
            logit_cap: None,
            tied: self.tied,
        }
    }
}

impl From<Config> for Model {
    fn from(config: Config) -> Model {
        let mut said = match json!(config) {
            Json::Object(said) => said,
            _ => Map::new(),
        };
        said.insert("model_type".to_owned(), json!("llama"));
        said.insert("architectures".to_owned(), json!(["LlamaForCausalLM"]));
        Model { said, network: Arc::new(config.decoder()) }
    }
}

/// Config fields that change a model's computation, and the values of them that are supported. A field that is missing or `null` is accepted.
const PLAIN: [Accepted; 1] = [("quantization_config", &[])];

pub(super) const FAMILY: Family = Family { types: &["llama", "mistral", "smollm3"], read };

/// Reads a config as transformers' `configuration_llama.py`, `configuration_mistral.py` and `configuration_smollm3.py` do.
fn read(fields: &Fields) -> Result<Arc<dyn Network>, BaseError> {
    fields.plain(&PLAIN)?;
    let kind = fields.text("model_type").unwrap_or("llama");
    let plain = Defaults { longest: 2048, theta: 1e4, ..Defaults::default() };
    let defaults = match kind {
        "mistral" => Defaults { kv_heads: Some(8), longest: 131_072, ..plain },
        "smollm3" => Defaults { kv_heads: Some(4), longest: 32_768, theta: 2e6, tied: true, ..plain },
        _ => plain,
    };
    let mut decoder = Decoder::read(fields, &defaults)?;
    let rotary = RotaryConfig::read(&fields.said, Some(defaults.theta))?;
    decoder.rotaries = vec![rotary.rotary(decoder.head_size).map_err(BaseError::Sizes)?];
    decoder.activation = Activation::read(fields, "hidden_act", "silu")?;
    match kind {
        "mistral" => {
            // Only a window that is `null` is none.
            if !fields.said.get("sliding_window").is_some_and(Json::is_null) {
                let window = Some(fields.size("sliding_window", Some(4096))?);
                decoder.layers.iter_mut().for_each(|layer| layer.window = window);
            }
        }
        _ => {
            let bias = fields.flag("attention_bias", false)?;
            decoder.biases = Biases { inputs: bias, output: bias, feed_forward: fields.flag("mlp_bias", false)? };
        }
    }
    if kind == "smollm3" {
        let rotated = rotated(fields, decoder.layers.len())?;
        decoder.layers.iter_mut().zip(&rotated).for_each(|(layer, is)| layer.rotary = is.then_some(0));
        if fields.flag("use_sliding_window", false)?
            && let Some(window) = fields.some_size("sliding_window")?
        {
            decoder.slide(fields, window, |layer| !rotated[layer])?;
        }
    }
    Ok(Arc::new(decoder))
}

/// True for each of SmolLM3's layers that is rotated: all but every fourth (transformers' `configuration_smollm3.py`).
fn rotated(fields: &Fields, layers: usize) -> Result<Vec<bool>, BaseError> {
    let flag = |value: &Json| value.as_u64().map(|flag| flag != 0);
    if let Some(rotary) = fields.layers("no_rope_layers", layers, flag)? {
        return Ok(rotary);
    }
    let interval = fields.size("no_rope_layer_interval", Some(4))?;
    Ok((1..=layers).map(|layer| !layer.is_multiple_of(interval)).collect())
}

/// The initial value of a weight for pretraining: N(0, 0.02²) for matrices, with the layers' output projections scaled by 1/√(2L) so that the
/// residual stream does not grow with depth (Radford et al. 2019, GPT-2), and 1 for gains. `span.len` elements.
pub fn initial_weight(name: &str, group: Group, span: Span, layers: usize, seed: u64) -> Vec<f32> {
    let mut weight = vec![1.0; span.len];
    if group != Group::Gain {
        let outputs = name.contains("o_proj") || name.contains("down_proj");
        let std = if outputs { 0.02 / (2.0 * layers as f32).sqrt() } else { 0.02 };
        loralab_linalg::Stream::new(seed, name).normal(std, &mut weight);
    }
    weight
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{"vocab_size":256,"hidden_size":8,"num_hidden_layers":1,"num_attention_heads":2,"intermediate_size":16,
        "rms_norm_eps":1e-6,"tie_word_embeddings":true,"max_position_embeddings":32}"#;

    /// The decoder that a config describes, as text.
    fn read_as(said: &str) -> String {
        format!("{:?}", Model::from_json(said).expect("a config").network)
    }

    fn with(more: &Json) -> Result<Model, BaseError> {
        let mut said: Map<String, Json> = serde_json::from_str(CONFIG).expect("an object");
        said.insert("rope_theta".to_owned(), json!(1e4));
        said.extend(more.as_object().expect("an object").clone());
        Model::from_json(&Json::Object(said).to_string())
    }

    #[test]
    fn what_is_written_is_read() {
        let config = with(&json!({"num_key_value_heads": 1})).expect("a plain config");
        let text = config.to_json();
        assert_eq!(Model::from_json(&text).expect("what was written"), config);
    }

    #[test]
    fn a_config_of_any_transformers_is_read() {
        for old in [json!({}), json!({"rope_theta": null})] {
            // As many heads of keys as of queries.
            assert_eq!(with(&old).expect("as the first transformers wrote it").tensors()[3].1, [8, 8]);
        }
        let said = CONFIG.replacen(
            '{',
            r#"{"rope_parameters":{"rope_theta":5e5,"rope_type":"default"},"head_dim":4,"sliding_window":null,"#,
            1,
        );
        let new = read_as(&said);
        assert!(new.contains(&format!("{:?}", Rotary::plain(5e5, 4))), "{new}");
        let wide = with(&json!({"head_dim": 16})).expect("heads wider than the residual stream");
        assert_eq!(wide.tensors()[2].1, [32, 8]);
    }

    #[test]
    fn every_fourth_layer_of_smollm3_is_not_rotated() {
        let layers = |more: &str| {
            let said = CONFIG.replacen("\"num_hidden_layers\":1", "\"num_hidden_layers\":5", 1);
            read_as(&said.replacen('{', &format!("{{\"model_type\":\"smollm3\",\"num_key_value_heads\":2,{more}"), 1))
        };
        let rotary =
            |said: String| -> Vec<bool> { said.split("rotary: ").skip(1).map(|x| x.starts_with('S')).collect() };
        assert_eq!(rotary(layers("")), [true, true, true, false, true]);
        assert_eq!(rotary(layers("\"no_rope_layer_interval\":2,")), [true, false, true, false, true]);
        assert_eq!(rotary(layers("\"no_rope_layers\":[0,1,1,0,0],")), [false, true, true, false, false]);
        assert!(layers("").contains(&format!("{:?}", Rotary::plain(2e6, 4))), "{}", layers(""));
    }

    #[test]
    fn another_model_is_refused_by_name() {
        let others = [
            json!({"model_type": "mamba"}),
            json!({"hidden_act": "relu"}),
            json!({"rope_scaling": {"rope_type": "longrope", "factor": 8.0}}),
            json!({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}),
            json!({"quantization_config": {"bits": 4}}),
        ];
        for other in others {
            let sentence = with(&other).expect_err("another model");
            assert!(matches!(sentence, BaseError::Unlike { .. }), "{sentence}");
        }
        let sizes = [
            json!({"rope_theta": 0}),
            json!({"rope_theta": -5}),
            json!({"rms_norm_eps": -1}),
            json!({"attention_bias": 1}),
            json!({"head_dim": 5}),
            json!({"num_key_value_heads": 3}),
        ];
        for sizes in sizes {
            assert!(matches!(with(&sizes), Err(BaseError::Field { .. } | BaseError::Sizes(_))), "{sizes}");
        }
    }
}
