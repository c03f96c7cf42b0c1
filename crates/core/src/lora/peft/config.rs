//! Reads PEFT's `adapter_config.json`.

use serde::Deserialize;
use serde_json::Value;

use super::{AdapterError, pattern::Pattern};

/// The settings that say how the tensors are meant. The rest either does not matter to a trained adapter, or is refused.
#[derive(Deserialize)]
pub(super) struct Config {
    pub r: usize,
    pub lora_alpha: f64,
    pub base_model_name_or_path: Option<String>,
    /// A list of names, or a pattern.
    #[serde(default)]
    pub target_modules: Value,
    #[serde(default)]
    pub use_rslora: bool,
    /// Ranks of some modules.
    #[serde(skip)]
    pub rank_pattern: Pattern<usize>,
    /// α of some modules.
    #[serde(skip)]
    pub alpha_pattern: Pattern<f64>,
    /// Whether not every module of these names is meant.
    #[serde(skip)]
    pub narrows: bool,
}

/// Settings that change what an adapter computes, with what they would take.
const UNSUPPORTED: [(&str, &str); 9] = [
    ("alora_invocation_tokens", "an adapter here is on from the first token; train it without"),
    ("bias", "biases are not trained; train the adapter with bias=\"none\""),
    ("fan_in_fan_out", "weights must be stored as (outputs, inputs)"),
    ("layer_replication", "the base model must keep its own layers"),
    ("lora_bias", "LoRA factors have no biases"),
    ("modules_to_save", "only LoRA factors are trained, no whole modules"),
    ("target_parameters", "only linear modules are adapted, no bare parameters"),
    ("trainable_token_indices", "only LoRA factors are trained, no token embeddings"),
    ("use_dora", "DoRA rescales the base weights; train the adapter without it"),
];

impl Config {
    pub fn parse(json: &str) -> Result<Self, AdapterError> {
        let settings: Value = serde_json::from_str(json)?;
        let setting = |key: &str| settings.get(key).unwrap_or(&Value::Null);
        let refuse = |key, reason| {
            let found = setting(key).to_string();
            Err(AdapterError::Unsupported { key, found, reason })
        };
        if setting("peft_type") != "LORA" {
            return refuse("peft_type", "only adapters of the type \"LORA\" can be read");
        }
        if let Some((key, reason)) = UNSUPPORTED.into_iter().find(|(key, _)| !is_off(setting(key))) {
            return refuse(key, reason);
        }
        let changes_base =
            |scheme: &str| ["pissa", "olora", "corda", "loftq", "lora_ga"].iter().any(|name| scheme.starts_with(name));
        if setting("init_lora_weights").as_str().is_some_and(changes_base) {
            return refuse(
                "init_lora_weights",
                "the adapter belongs to a base model that its start has changed; save it with PEFT's \
                 path_initial_model_for_weight_conversion, which makes it fit the original one",
            );
        }
        let mut config = Self::deserialize(&settings)?;
        config.rank_pattern = Pattern::parse("rank_pattern", setting("rank_pattern"))?;
        config.alpha_pattern = Pattern::parse("alpha_pattern", setting("alpha_pattern"))?;
        config.narrows = ["layers_to_transform", "exclude_modules"].into_iter().any(|key| !is_off(setting(key)));
        if config.r == 0 { Err(AdapterError::NoRank) } else { Ok(config) }
    }
}

/// Whether a setting is absent or says what PEFT does without it.
fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text == "none",
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}
