//! The metadata of a GGUF file as a Hugging Face `config.json`.
//!
//! The keys are those that llama.cpp's `convert_hf_to_gguf.py` writes. It leaves some settings out that llama.cpp derives from others in `llama-model.cpp`;
//! they are derived alike here, and those that every published model of an architecture shares are constants.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::{
    Architecture, GgufError,
    header::{Entry, Value},
};
use crate::Format;

/// The metadata of a model with its architecture.
pub struct Settings {
    /// The architecture.
    pub architecture: Architecture,
    metadata: BTreeMap<String, Value>,
}

impl Settings {
    /// Finds the architecture.
    ///
    /// # Errors
    /// If it is missing or not supported.
    pub fn new(metadata: BTreeMap<String, Value>) -> Result<Settings, GgufError> {
        let key = "general.architecture";
        let architecture = match metadata.get(key) {
            Some(Value::Text(name)) => {
                Architecture::named(name).ok_or_else(|| GgufError::Architecture(name.clone()))?
            }
            other => {
                let found = other.map_or_else(|| "missing".to_owned(), |value| format!("{value:?}"));
                return Err(GgufError::Value { key: key.to_owned(), found, needed: "the name of an architecture" });
            }
        };
        Ok(Settings { architecture, metadata })
    }

    /// The key of a setting of the architecture, and its value.
    fn get(&self, setting: &str) -> (String, Option<&Value>) {
        let key = format!("{}.{setting}", self.architecture.name());
        let value = self.metadata.get(&key);
        (key, value)
    }

    /// A whole number.
    fn size(&self, setting: &str) -> Result<Option<u64>, GgufError> {
        let (key, value) = self.get(setting);
        match value {
            None => Ok(None),
            Some(Value::Integer(x)) if u32::try_from(*x).is_ok() => Ok(Some(*x as u64)),
            Some(Value::List(list)) if list.first().is_some_and(|first| list.iter().all(|x| x == first)) => {
                match list[0] {
                    Value::Integer(x) if u32::try_from(x).is_ok() => Ok(Some(x as u64)),
                    _ => Err(GgufError::Value { key, found: format!("{:?}", list[0]), needed: "a whole number" }),
                }
            }
            Some(Value::List(_)) => Err(GgufError::Unsupported { key, found: "another in each layer".to_owned() }),
            Some(other) => Err(GgufError::Value { key, found: format!("{other:?}"), needed: "a whole number" }),
        }
    }

    /// A whole number that must be there.
    fn needed(&self, setting: &str) -> Result<u64, GgufError> {
        let missing =
            || GgufError::Value { key: self.get(setting).0, found: "missing".to_owned(), needed: "a whole number" };
        self.size(setting)?.ok_or_else(missing)
    }

    /// A number. GGUF stores f32; the decimal that is meant is the shortest that f32 tells apart.
    fn number(&self, setting: &str) -> Result<Option<f64>, GgufError> {
        let (key, value) = self.get(setting);
        match value {
            None => Ok(None),
            Some(Value::Float(x)) if x.is_finite() => Ok(Some((*x as f32).to_string().parse().unwrap_or(*x))),
            Some(Value::Integer(x)) => Ok(Some(*x as f64)),
            Some(other) => Err(GgufError::Value { key, found: format!("{other:?}"), needed: "a number" }),
        }
    }

    /// Attention heads H.
    pub fn heads(&self) -> Result<u64, GgufError> {
        self.needed("attention.head_count")
    }

    /// Key and value heads.
    pub fn kv_heads(&self) -> Result<u64, GgufError> {
        Ok(self.size("attention.head_count_kv")?.unwrap_or(self.heads()?))
    }

    /// The config of a model that has these tensors.
    ///
    /// # Errors
    /// If a setting is missing, malformed or not supported.
    pub fn config(&self, tensors: &[Entry]) -> Result<Json, GgufError> {
        let find = |name: &str| tensors.iter().find(|entry| entry.name == name);
        let (width, heads) = (self.needed("embedding_length")?, self.heads()?);
        let vocabulary = find("token_embd.weight").and_then(|entry| entry.shape.first().copied());
        let head_size = match self.size("attention.key_length")? {
            Some(size) => size,
            None => width.checked_div(heads).unwrap_or(0),
        };
        let value_size = self.size("attention.value_length")?.unwrap_or(head_size);
        if value_size != head_size {
            let key = self.get("attention.value_length").0;
            return Err(GgufError::Unsupported { key, found: format!("{value_size}, but the keys have {head_size}") });
        }
        if self.size("expert_count")?.unwrap_or(0) > 0 {
            return Err(GgufError::Unsupported {
                key: self.get("expert_count").0,
                found: "a mixture of experts".to_owned(),
            });
        }
        let mut config = json!({
            "vocab_size": vocabulary.unwrap_or(0),
            "hidden_size": width,
            "num_hidden_layers": self.needed("block_count")?,
            "num_attention_heads": heads,
            "num_key_value_heads": self.kv_heads()?,
            "intermediate_size": self.needed("feed_forward_length")?,
            "head_dim": head_size,
            "max_position_embeddings": self.needed("context_length")?,
            "rms_norm_eps": self.number("attention.layer_norm_rms_epsilon")?.unwrap_or(1e-6),
            "tie_word_embeddings": find("output.weight").is_none(),
        });
        if let Json::Object(config) = &mut config {
            self.add_rotary(config, head_size, find("rope_freqs.weight"))?;
            self.add_family(config, width, heads, head_size)?;
        }
        Ok(config)
    }

    /// Adds the settings of the rotary positions.
    fn add_rotary(
        &self,
        config: &mut Map<String, Json>,
        head_size: u64,
        factors: Option<&Entry>,
    ) -> Result<(), GgufError> {
        let theta = self.number("rope.freq_base")?.unwrap_or(1e4);
        config.insert("rope_theta".to_owned(), json!(theta));
        let rotated = self.size("rope.dimension_count")?.unwrap_or(head_size);
        if rotated != head_size {
            let key = self.get("rope.dimension_count").0;
            return Err(GgufError::Unsupported { key, found: format!("{rotated} of {head_size} columns") });
        }
        let (key, kind) = self.get("rope.scaling.type");
        let kind = match kind {
            None => "none",
            Some(Value::Text(kind)) => kind,
            Some(other) => {
                return Err(GgufError::Value { key, found: format!("{other:?}"), needed: "the name of a scaling" });
            }
        };
        let factor = self.number("rope.scaling.factor")?;
        let original = self.size("rope.scaling.original_context_length")?;
        let scaling = match (kind, factor, factors) {
            ("none", None | Some(0.0 | 1.0), Some(factors)) => llama3(theta, factors).ok_or(GgufError::Rotary)?,
            (_, _, Some(_)) => return Err(GgufError::Rotary),
            ("none", ..) | (_, None | Some(0.0 | 1.0), _) => return Ok(()),
            ("linear", Some(factor), _) => json!({"rope_type": "linear", "factor": factor}),
            ("yarn", Some(factor), _) => {
                json!({"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original})
            }
            (other, ..) => return Err(GgufError::Unsupported { key, found: format!("\"{other}\"") }),
        };
        config.insert("rope_scaling".to_owned(), scaling);
        Ok(())
    }

    /// Adds the settings that only some architectures have.
    fn add_family(
        &self,
        config: &mut Map<String, Json>,
        width: u64,
        heads: u64,
        head_size: u64,
    ) -> Result<(), GgufError> {
        let (kind, class) = match self.architecture {
            Architecture::Llama => ("llama", "LlamaForCausalLM"),
            Architecture::Qwen2 => ("qwen2", "Qwen2ForCausalLM"),
            Architecture::Qwen3 => ("qwen3", "Qwen3ForCausalLM"),
            Architecture::Gemma2 => ("gemma2", "Gemma2ForCausalLM"),
            Architecture::Gemma3 => ("gemma3_text", "Gemma3ForCausalLM"),
        };
        config.insert("model_type".to_owned(), json!(kind));
        config.insert("architectures".to_owned(), json!([class]));
        if !self.architecture.is_gemma() {
            config.insert("hidden_act".to_owned(), json!("silu"));
            return Ok(());
        }
        config.insert("hidden_activation".to_owned(), json!("gelu_pytorch_tanh"));
        // The largest model of each divides by the width of a head had it no size of its own.
        let layers = self.needed("block_count")?;
        let is_largest = layers == if self.architecture == Architecture::Gemma2 { 46 } else { 62 };
        let scalar = if is_largest { width.checked_div(heads).unwrap_or(0) } else { head_size };
        config.insert("query_pre_attn_scalar".to_owned(), json!(scalar));
        config.insert("sliding_window".to_owned(), json!(self.size("attention.sliding_window")?));
        match self.architecture {
            Architecture::Gemma2 => {
                let attention = self.number("attn_logit_softcapping")?.unwrap_or(50.0);
                let logits = self.number("final_logit_softcapping")?.unwrap_or(30.0);
                config.insert("attn_logit_softcapping".to_owned(), json!(attention));
                config.insert("final_logit_softcapping".to_owned(), json!(logits));
                config.insert("layer_types".to_owned(), layer_types(layers, 2));
            }
            _ => {
                config.insert("rope_local_base_freq".to_owned(), json!(1e4));
                config.insert("layer_types".to_owned(), layer_types(layers, 6));
            }
        }
        Ok(())
    }
}

/// The kind of attention of each layer, of which every `period`th sees all tokens and the others a window. No list is longer than a model has layers.
fn layer_types(layers: u64, period: u64) -> Json {
    const MOST: u64 = 4096;
    let kind = |layer: u64| if layer.is_multiple_of(period) { "full_attention" } else { "sliding_attention" };
    (1..=layers.min(MOST)).map(kind).collect()
}

/// The scaling of Llama 3 whose divisors of the rotary frequencies are these, (D/2), for the parameters that all its models share: wavelengths below 8192/4 stay
/// as they are, those above 8192 are divided by the factor (transformers' `_compute_llama3_parameters`). None if they are others.
fn llama3(theta: f64, factors: &Entry) -> Option<Json> {
    const ORIGINAL: f64 = 8192.0;
    const LOW: f64 = 1.0;
    const HIGH: f64 = 4.0;
    if factors.format != Format::F32 {
        return None;
    }
    let found: Vec<f64> = factors.bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes).into()).collect();
    let factor = found.iter().fold(1.0, |most: f64, x| most.max(*x)).round();
    let expected = |index: usize| {
        let wavelength = 2.0 * std::f64::consts::PI * theta.powf(index as f64 / found.len() as f64);
        if wavelength < ORIGINAL / HIGH {
            1.0
        } else if wavelength > ORIGINAL / LOW {
            factor
        } else {
            let smooth = (ORIGINAL / wavelength - LOW) / (HIGH - LOW);
            1.0 / ((1.0 - smooth) / factor + smooth)
        }
    };
    let is_llama3 = found.iter().enumerate().all(|(index, x)| (x - expected(index)).abs() <= 1e-4 * x.abs());
    is_llama3.then(|| {
        json!({
            "rope_type": "llama3", "factor": factor, "low_freq_factor": LOW, "high_freq_factor": HIGH,
            "original_max_position_embeddings": ORIGINAL as u64,
        })
    })
}
