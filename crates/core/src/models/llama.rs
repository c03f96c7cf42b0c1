//! The Llama family: RMSNorm, rotary positions, grouped-query causal attention, SwiGLU, no biases. Tensors have their Hugging Face names.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::{BaseError, Family, Linear, Recorder};
use crate::graph::{
    memory::{Group, Span, Value},
    ops::Attend,
    tape::Tape,
};

/// The last components of the names of a layer's linear modules.
pub const MODULES: [&str; 7] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/// Sizes of a decoder; the JSON names are those of Hugging Face's `config.json`.
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
        } else if !heads.is_multiple_of(kv_heads) {
            Err(format!("{kv_heads} key-value heads do not divide {heads} heads"))
        } else if !(self.rope_theta > 0.0 && self.rope_theta.is_finite()) {
            Err(format!("the rotary wavelengths have the base {}, which is no number above 0", self.rope_theta))
        } else if !(self.epsilon >= 0.0 && self.epsilon.is_finite()) {
            Err(format!("the norms have an ε of {}, which is below 0 or no number", self.epsilon))
        } else {
            Ok(())
        }
    }

    /// Head size D.
    pub fn head_size(&self) -> usize {
        self.width / self.heads
    }

    /// Input and output columns of a module, (I, O).
    fn module_shape(&self, module: &str) -> [usize; 2] {
        let narrow = self.kv_heads * self.head_size();
        match module {
            "k_proj" | "v_proj" => [self.width, narrow],
            "gate_proj" | "up_proj" => [self.width, self.feed_forward],
            "down_proj" => [self.feed_forward, self.width],
            _ => [self.width, self.width],
        }
    }
}

/// Config fields that change what a model computes, and the values that this decoder implements. A field that is missing or `null` is accepted.
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

impl Family for Config {
    const TYPES: &'static [&'static str] = &["llama", "mistral"];

    /// Reads the sizes, and rejects other fields whose values this decoder does not implement.
    fn read(mut said: Map<String, Json>) -> Result<Config, BaseError> {
        // transformers 5 writes the position settings into an object of their own.
        if let Some(Json::Object(positions)) = said.remove("rope_parameters") {
            for (name, value) in positions {
                let is_old = ["rope_theta", "partial_rotary_factor"].contains(&&*name);
                let name = if is_old { name } else { format!("rope_parameters.{name}") };
                said.entry(name).or_insert(value);
            }
        }
        if let Some(heads) = said.get("num_attention_heads").cloned() {
            let kv_heads = said.entry("num_key_value_heads").or_insert(Json::Null);
            if kv_heads.is_null() {
                *kv_heads = heads;
            }
        }
        for (key, values) in PLAIN {
            let found = said.get(key).filter(|value| !value.is_null()).map(Json::to_string);
            if let Some(found) = found.filter(|found| !values.contains(&found.as_str())) {
                return Err(BaseError::Unlike { key, found });
            }
        }
        let head_size = said.get("head_dim").and_then(Json::as_u64);
        let config: Config = serde_json::from_value(Json::Object(said))?;
        config.check().map_err(BaseError::Sizes)?;
        match head_size {
            Some(size) if size != config.head_size() as u64 => {
                Err(BaseError::Unlike { key: "head_dim", found: size.to_string() })
            }
            _ => Ok(config),
        }
    }

    fn write(&self) -> Json {
        let mut said = json!(self);
        said["model_type"] = json!("llama");
        said["architectures"] = json!(["LlamaForCausalLM"]);
        said
    }

    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn longest(&self) -> usize {
        self.tokens
    }

    fn layers(&self) -> usize {
        self.layers
    }

    fn position_columns(&self) -> usize {
        self.head_size()
    }

    fn linears(&self) -> Vec<Linear> {
        let of_layer = |layer| {
            MODULES.map(|module| {
                let [inputs, outputs] = self.module_shape(module);
                Linear { name: module_name(layer, module), inputs, outputs }
            })
        };
        (0..self.layers).flat_map(of_layer).collect()
    }

    fn tensors(&self) -> Vec<(String, [usize; 2])> {
        let mut tensors = vec![("model.embed_tokens.weight".to_owned(), [self.vocabulary, self.width])];
        for layer in 0..self.layers {
            tensors.push((format!("model.layers.{layer}.input_layernorm.weight"), [1, self.width]));
            for module in MODULES {
                let [inputs, outputs] = self.module_shape(module);
                tensors.push((format!("{}.weight", module_name(layer, module)), [outputs, inputs]));
            }
            tensors.push((format!("model.layers.{layer}.post_attention_layernorm.weight"), [1, self.width]));
        }
        tensors.push(("model.norm.weight".to_owned(), [1, self.width]));
        if !self.tied {
            tensors.push(("lm_head.weight".to_owned(), [self.vocabulary, self.width]));
        }
        tensors
    }

    // Older files hold the rotary frequencies, and some hold the tied embedding twice.
    fn repeats(&self, tensor: &str) -> bool {
        tensor.ends_with("rotary_emb.inv_freq") || (self.tied && tensor == "lm_head.weight")
    }

    fn record(&self, recorder: &mut Recorder<'_>) {
        let head_size = self.head_size();
        let table = rope_tables(recorder.tape, self);
        let embedding = recorder.weight("model.embed_tokens.weight", [self.vocabulary, self.width], Group::Matrix);
        recorder.tape.label("embed_tokens");
        let mut x = recorder.tape.embedding(embedding, self.width);
        for layer in 0..self.layers {
            let project = |recorder: &mut Recorder<'_>, module: &str, x: Value| {
                recorder.linear(x, &module_name(layer, module), self.module_shape(module))
            };
            let h = norm(recorder, &format!("model.layers.{layer}.input_layernorm"), self, x);
            let [q, k, v] = ["q_proj", "k_proj", "v_proj"].map(|module| project(recorder, module, h));
            recorder.tape.label(format!("layers.{layer}.self_attn"));
            let (q, k) = (recorder.tape.rope(q, head_size, table), recorder.tape.rope(k, head_size, table));
            let mixed = recorder.tape.attention(q, k, v, Attend::causal(head_size));
            let out = project(recorder, "o_proj", mixed);
            x = recorder.tape.add(x, out);
            let h = norm(recorder, &format!("model.layers.{layer}.post_attention_layernorm"), self, x);
            let [gate, up] = ["gate_proj", "up_proj"].map(|module| project(recorder, module, h));
            recorder.tape.label(format!("layers.{layer}.mlp"));
            let active = recorder.tape.swiglu(gate, up);
            let down = project(recorder, "down_proj", active);
            x = recorder.tape.add(x, down);
        }
        let x = norm(recorder, "model.norm", self, x);
        let head = if self.tied {
            embedding
        } else {
            recorder.weight("lm_head.weight", [self.vocabulary, self.width], Group::Matrix)
        };
        recorder.tape.label("lm_head");
        let logits = recorder.tape.linear(x, head, self.vocabulary);
        recorder.tape.cross_entropy(logits);
    }
}

/// The full name of a module, e.g. `model.layers.0.self_attn.q_proj`.
fn module_name(layer: usize, module: &str) -> String {
    let block = if matches!(module, "gate_proj" | "up_proj" | "down_proj") { "mlp" } else { "self_attn" };
    format!("model.layers.{layer}.{block}.{module}")
}

/// Records RMSNorm with the gain of the module `name`.
fn norm(recorder: &mut Recorder<'_>, name: &str, config: &Config, x: Value) -> Value {
    let weight = recorder.weight(&format!("{name}.weight"), [1, config.width], Group::Gain);
    recorder.tape.label(name.trim_start_matches("model."));
    recorder.tape.rms_norm(x, weight, config.epsilon)
}

/// Adds the tables of the cosines and sines of position · θ^(−2i/D), each (T, D/2). Returns the index of the cosines; the sines follow.
fn rope_tables(tape: &mut Tape, config: &Config) -> usize {
    let half = config.head_size() / 2;
    let angle = |index: usize| {
        let (position, pair) = (index / half, index % half);
        position as f64 * config.rope_theta.powf(-(pair as f64) / half as f64)
    };
    let count = tape.tokens() * half;
    let cosines = tape.table((0..count).map(|index| angle(index).cos()).collect());
    tape.table((0..count).map(|index| angle(index).sin()).collect());
    cosines
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
    use crate::models::Model;

    const CONFIG: &str = r#"{"vocab_size":256,"hidden_size":8,"num_hidden_layers":1,"num_attention_heads":2,"intermediate_size":16,
        "rms_norm_eps":1e-6,"tie_word_embeddings":true,"max_position_embeddings":32}"#;

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
        assert!(text.contains(r#""model_type":"llama""#), "{text}");
        assert_eq!(Model::from_json(&text).expect("what was written"), config);
    }

    #[test]
    fn a_config_of_any_transformers_is_read() {
        let [old, new] = [json!({}), json!({"rope_theta": null})]
            .map(|more| with(&more).map(|Model::Llama(config)| config.kv_heads));
        assert_eq!(old.expect("as many heads of keys as of queries"), 2);
        assert!(new.is_err());
        let said = CONFIG.replacen(
            '{',
            r#"{"rope_parameters":{"rope_theta":5e5,"rope_type":"default"},"head_dim":4,"sliding_window":null,"#,
            1,
        );
        let Model::Llama(config) = Model::from_json(&said).expect("as transformers 5 writes it");
        assert_eq!(config.rope_theta, 5e5);
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
