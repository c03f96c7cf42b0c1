//! Reads PEFT's `adapter_config.json`.

use serde::Deserialize;
use serde_json::Value;

use super::{AdapterError, pattern::Pattern};

/// The settings that determine the meaning of the tensors. The others either do not matter to a trained adapter, or are refused.
#[derive(Deserialize)]
pub(super) struct Config {
    pub r: usize,
    pub lora_alpha: f64,
    #[serde(default)]
    pub lora_dropout: f64,
    base_model_name_or_path: Option<String>,
    revision: Option<String>,
    /// A list of names, or a pattern.
    #[serde(default)]
    pub target_modules: Value,
    #[serde(default)]
    pub use_rslora: bool,
    /// The ranks of some modules.
    #[serde(skip)]
    pub rank_pattern: Pattern<usize>,
    /// The α of some modules.
    #[serde(skip)]
    pub alpha_pattern: Pattern<f64>,
    /// True if not every module with these names is adapted.
    #[serde(skip)]
    pub narrows: bool,
    /// The indices of the adapted layers, if not all are adapted: one or a list.
    #[serde(default)]
    layers_to_transform: Value,
    /// Modules that are not adapted: names, or ends of names, or a pattern.
    #[serde(default)]
    exclude_modules: Value,
}

/// Settings that change an adapter's output, with the reason each is refused.
const UNSUPPORTED: [(&str, &str); 11] = [
    ("alora_invocation_tokens", "an adapter here is on from the first token; train it without"),
    ("arrow_config", "Arrow chooses among several adapters for each token; one is run here"),
    ("bias", "biases are not trained; train the adapter with bias=\"none\""),
    ("fan_in_fan_out", "weights must be stored as (outputs, inputs)"),
    ("layer_replication", "the base model must keep its own layers"),
    ("lora_bias", "LoRA factors have no biases"),
    ("modules_to_save", "only LoRA factors are trained, no whole modules"),
    ("target_parameters", "only linear modules are adapted, no bare parameters"),
    ("trainable_token_indices", "only LoRA factors are trained, no token embeddings"),
    ("use_qalora", "QA-LoRA averages groups of inputs before A; train the adapter without it"),
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

impl Config {
    /// The base's name or path, with its revision; empty if not known.
    pub fn base(&self) -> String {
        let name = self.base_model_name_or_path.clone().unwrap_or_default();
        match &self.revision {
            Some(revision) if !revision.is_empty() && revision != "main" => format!("{name}@{revision}"),
            _ => name,
        }
    }

    /// Refuses tensors of a module that the settings exclude: PEFT would not load them.
    pub fn check_meant(&self, module: &str) -> Result<(), AdapterError> {
        let refuse = |key, value: &Value| {
            let reason = "the file has tensors of a module that this leaves out, and PEFT would not load them; remove the setting or the tensors";
            Err(AdapterError::Unsupported { key, found: value.to_string(), reason })
        };
        let layer = module.split('.').find_map(|part| part.parse::<u64>().ok());
        let is_layer = |value: &Value| value.as_u64() == layer;
        let layers = &self.layers_to_transform;
        if !is_off(layers) && !layers.as_array().map_or_else(|| is_layer(layers), |all| all.iter().any(is_layer)) {
            return refuse("layers_to_transform", layers);
        }
        let excluded = self.exclude_modules.as_array().into_iter().flatten().filter_map(Value::as_str);
        let is_module = |name: &str| module == name || module.ends_with(&format!(".{name}"));
        if excluded.into_iter().any(is_module) {
            return refuse("exclude_modules", &self.exclude_modules);
        }
        Ok(())
    }
}

/// True if a setting is absent or has PEFT's default.
fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text == "none",
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}
