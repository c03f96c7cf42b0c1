//! Reads PEFT's `adapter_config.json`.

use serde::Deserialize;
use serde_json::Value;

use super::{AdapterError, pattern::Pattern, saved};
use crate::models::{TargetRules, Targets};

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
    /// Modules that are trained whole.
    #[serde(skip)]
    pub modules_to_save: Vec<String>,
    /// True if not every module with these names is adapted.
    #[serde(skip)]
    pub narrows: bool,
    /// The indices of the adapted layers, if not all are adapted: one or a list.
    #[serde(default)]
    layers_to_transform: Value,
    /// The names in front of a layer's index: one or a list.
    #[serde(default)]
    layers_pattern: Value,
    /// Modules that are not adapted: names, or ends of names, or a pattern.
    #[serde(default)]
    exclude_modules: Value,
    /// The rules that these settings and `target_modules` make.
    #[serde(skip)]
    targets: Option<Targets>,
}

/// Settings that change an adapter's output, with the reason each is refused.
const UNSUPPORTED: [(&str, &str); 11] = [
    ("alora_invocation_tokens", "an adapter here is on from the first token; train it without"),
    ("arrow_config", "Arrow chooses among several adapters for each token; one is run here"),
    ("bias", "biases are not trained; train the adapter with bias=\"none\""),
    ("fan_in_fan_out", "weights must be stored as (outputs, inputs)"),
    ("layer_replication", "the base model must keep its own layers"),
    ("lora_bias", "LoRA factors have no biases"),
    ("modules_to_save", "only a classifier is trained whole, no other module"),
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
        let modules_to_save = saved::modules(setting("modules_to_save"));
        let is_known = |key: &str| is_off(setting(key)) || key == "modules_to_save" && modules_to_save.is_some();
        if let Some((key, reason)) = UNSUPPORTED.into_iter().find(|(key, _)| !is_known(key)) {
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
        config.modules_to_save = modules_to_save.unwrap_or_default();
        config.targets = config.rules();
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
        match &self.targets {
            Some(targets) if targets.excludes(module) => refuse("exclude_modules", &self.exclude_modules),
            Some(targets) if !targets.is_in_layers(module) => refuse("layers_to_transform", &self.layers_to_transform),
            Some(targets) if self.target_modules.is_string() && !targets.targets(module) => {
                refuse("target_modules", &self.target_modules)
            }
            _ => Ok(()),
        }
    }

    /// The rules of the file; none if one cannot be run, since the modules with tensors are then known all the same.
    fn rules(&self) -> Option<Targets> {
        // A text is an expression in PEFT, even if it looks like a name.
        let names = |setting: &Value| match setting {
            Value::String(text) => vec![format!("(?:{text})")],
            other => other.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
        };
        let layers = match &self.layers_to_transform {
            Value::Array(layers) => layers.iter().filter_map(Value::as_u64).collect(),
            one => one.as_u64().into_iter().collect::<Vec<_>>(),
        };
        let all = self.target_modules.as_str().is_some_and(|text| text.eq_ignore_ascii_case("all-linear"));
        let (target_modules, exclude_modules) = (names(&self.target_modules), names(&self.exclude_modules));
        let layers_pattern = match &self.layers_pattern {
            Value::String(text) if !text.is_empty() => vec![text.clone()],
            Value::Array(_) => names(&self.layers_pattern),
            _ => vec![],
        };
        Targets::new(TargetRules {
            target_modules: (!all && !target_modules.is_empty()).then_some(&target_modules[..]),
            exclude_modules: &exclude_modules,
            layers_to_transform: &layers.into_iter().map(|layer| layer as usize).collect::<Vec<_>>(),
            layers_pattern: &layers_pattern,
        })
        .ok()
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
