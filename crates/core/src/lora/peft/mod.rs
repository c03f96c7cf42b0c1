//! Adapters in the layout of PEFT, Hugging Face's adapter library. It works on bytes, not on files.
//!
//! PEFT stores an adapter in a folder of two files, `adapter_config.json` and `adapter_model.safetensors`. The tensors are
//! named `base_model.model.<module>.lora_A.weight` (R, I) and `….lora_B.weight` (O, R).
//!
//! PEFT has no frozen pair. An adapter with one is written as a plain adapter of twice the rank that loads on the
//! untouched base: A' = \[A; A₀\], B' = \[B, −B₀\], with α' = s·2R and the classic scale α'/2R, so that
//! s'·B'·A' = s·(B·A − B₀·A₀).

mod config;
mod pattern;
mod ranks;
mod saved;

use std::collections::{BTreeMap, HashSet};

use loralab_checkpoint::{Bytes, Checkpoint, CheckpointError, Format, Stored, read_safetensors, write_safetensors};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{graph::memory::Quantiser, models::covers};

use config::Config;
use ranks::Ranks;
pub use saved::SavedTensor;

/// The key in the tensor file's metadata that names a quantised base, as JSON.
const QUANTISED_BASE: &str = "quantised_base";
/// PEFT wraps the base model twice, so every tensor's name has this prefix.
const PREFIX: &str = "base_model.model.";

/// A LoRA adapter: one pair of factors for each adapted layer of a base model.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// The base model's name or path, as PEFT looks it up; empty if not known.
    pub base: String,
    /// Set if the adapter belongs to a quantised base; `base` then describes it, or is its original if all of it is quantised, as PEFT has it.
    pub quantised_base: Option<QuantisedBase>,
    /// The rank R of every pair.
    pub rank: usize,
    /// α, from which the scale follows: see [`Adapter::scale`].
    pub alpha: f64,
    /// True if the scale is α/√R (rsLoRA, arXiv 2312.03732) instead of α/R.
    pub use_rslora: bool,
    /// The probability of dropout in the adapters' inputs while they were trained; it changes nothing afterwards.
    pub dropout: f64,
    /// The names of the adapted modules: full names or their last parts, such as `q_proj`.
    pub target_modules: Vec<String>,
    /// The adapted modules.
    pub modules: Vec<Module>,
    /// Tensors that are trained whole beside them: a classifier's.
    pub saved: Vec<SavedTensor>,
}

/// A base whose weights are quantised; the adapter belongs to it, not to the original base. It is stored in the metadata of the tensors' file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuantisedBase {
    /// The original base.
    pub base: String,
    /// The quantiser of its weights.
    pub quantiser: Quantiser,
    /// The number of LoftQ rounds that quantised them.
    pub rounds: usize,
    /// The rank of those rounds; 0 for a single round.
    pub rank: usize,
    /// True if the weights of all modules that can carry adapters are quantised (`--quantize`), false if those are that do (LoftQ).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
}

impl QuantisedBase {
    /// The base of that name with the weights of all modules that can carry adapters quantised.
    pub fn whole(base: &str, quantiser: Quantiser) -> QuantisedBase {
        QuantisedBase { base: base.to_owned(), quantiser, rounds: 1, rank: 0, whole: true }
    }
}

/// The factors of one adapted layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Module {
    /// The module's name in the base model, such as `model.layers.0.self_attn.q_proj`.
    pub name: String,
    /// The width I of the layer's input.
    pub inputs: usize,
    /// The width O of the layer's output.
    pub outputs: usize,
    /// The scale of the module as a multiple of the adapter's.
    pub factor: f64,
    /// A, (R, I).
    pub a: Vec<f32>,
    /// B, (O, R).
    pub b: Vec<f32>,
    /// A second pair (A₀, B₀) of the same shapes whose product is subtracted.
    pub frozen: Option<(Vec<f32>, Vec<f32>)>,
}

/// The contents of the two files of a PEFT adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeftFiles {
    /// `adapter_config.json`
    pub config_json: String,
    /// `adapter_model.safetensors`
    pub safetensors: Vec<u8>,
}

/// The reasons that an adapter can't be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterError {
    /// The configuration is not JSON, or a field is missing or of another type.
    #[error("adapter_config.json is not a PEFT configuration: {0}; save the adapter again with save_pretrained")]
    Config(#[from] serde_json::Error),
    /// The configuration has a setting that a plain LoRA layer does not support.
    #[error("adapter_config.json sets \"{key}\" to {found}, which cannot be run here: {reason}")]
    Unsupported {
        /// The setting.
        key: &'static str,
        /// Its value, as JSON.
        found: String,
        /// The reason, and what the user can do.
        reason: &'static str,
    },
    /// The tensors' file is damaged.
    #[error("adapter_model.safetensors cannot be read: {0}; it may be cut off, so copy or download it again")]
    Unreadable(#[source] CheckpointError),
    /// The tensors do not fit the format.
    #[error("adapter_model.safetensors cannot be written: {0}")]
    Unwritable(#[source] CheckpointError),
    /// The rank is 0.
    #[error("the adapter has rank 0; a LoRA adapter needs a rank of at least 1")]
    NoRank,
    /// α is not finite, or gives a scale that is not.
    #[error(
        "the adapter has alpha {0}, which gives no scale that a 32-bit float can hold; choose a number nearer to 1"
    )]
    Alpha(f64),
    /// A few modules have a high rank and many a low one, so that a common rank would take too much memory.
    #[error(
        "the adapter's modules have ranks from {lowest} to {highest}, which is too far apart to run: all are computed at the highest; \
         split the adapter in two"
    )]
    Ranks {
        /// The lowest rank.
        lowest: usize,
        /// The highest rank.
        highest: usize,
    },
    /// There is no pair of factors at all.
    #[error("the adapter has no LoRA tensors; at least one module needs its lora_A and lora_B")]
    Empty,
    /// A factor has no partner.
    #[error("adapter_model.safetensors has no tensor \"{0}\", the other half of a pair that it holds")]
    Missing(String),
    /// A tensor is neither a lora_A nor a lora_B of a linear layer.
    #[error(
        "adapter_model.safetensors holds \"{0}\", which is not a LoRA factor of a linear layer \
         (base_model.model.<module>.lora_A.weight or lora_B.weight); only those can be read"
    )]
    Unexpected(String),
    /// A tensor has an unsupported number format.
    #[error("the tensor \"{tensor}\" is stored as {found}; F32, F16 or BF16 is needed")]
    Type {
        /// The tensor's name.
        tensor: String,
        /// Its number format.
        found: Format,
    },
    /// A tensor's shape does not match the rank.
    #[error("the tensor \"{tensor}\" has shape {found:?}; {needed} is needed")]
    Shape {
        /// The tensor's name.
        tensor: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that fits.
        needed: String,
    },
    /// A factor has more or fewer values than its shape.
    #[error("{factor} of the module \"{module}\" has {found} values; {rows} × {columns} are needed")]
    Length {
        /// The module's name.
        module: String,
        /// The factor's name.
        factor: &'static str,
        /// The number of values.
        found: usize,
        /// Rows of the factor.
        rows: usize,
        /// Columns of the factor.
        columns: usize,
    },
    /// A value is infinite or not a number.
    #[error("{place} holds {value} at position {index}; an adapter needs finite numbers, so its run diverged")]
    NotFinite {
        /// The tensor, or the factor and its module.
        place: String,
        /// Position in row-major order.
        index: usize,
        /// The value.
        value: f32,
    },
    /// PEFT would not put an adapter on this module, and would drop its tensors.
    #[error("the module \"{0}\" matches none of the target modules; name it, or the last part of its name, there")]
    Untargeted(String),
    /// Two modules have the same name.
    #[error("the adapter has the module \"{0}\" twice; each needs its own name")]
    Duplicate(String),
}

impl PeftFiles {
    /// The same adapter with a configuration that makes PEFT train A alone: PEFT's MiCA, which keeps B fixed.
    ///
    /// # Errors
    /// If the configuration is not JSON, which does not happen.
    pub fn training_a_only(mut self) -> Result<PeftFiles, AdapterError> {
        let mut config: serde_json::Value = serde_json::from_str(&self.config_json)?;
        config["init_lora_weights"] = json!("mica");
        self.config_json = format!("{config:#}\n");
        Ok(self)
    }
}

impl Adapter {
    /// The scale s in y = x Wᵀ + s·(x Aᵀ) Bᵀ: α/R, or α/√R with rsLoRA.
    pub fn scale(&self) -> f64 {
        let rank = self.rank as f64;
        self.alpha / if self.use_rslora { rank.sqrt() } else { rank }
    }

    /// True if the adapter covers a module with this name.
    pub fn targets(&self, module: &str) -> bool {
        self.target_modules.iter().any(|target| covers(target, module))
    }

    /// The two files that PEFT's `PeftModel.from_pretrained` loads, with the factors in f32.
    ///
    /// If any module has a frozen pair, all are written with twice the rank, those without one with a pair of zeros. Trailing zeros of a module's factors are
    /// cut, and the module gets a rank of its own; a module that is all zeros is left out.
    ///
    /// # Errors
    /// If PEFT could not load the adapter whole: no modules, wrong lengths, values that are not finite,
    /// duplicate names, or names that no target module covers.
    pub fn to_peft(&self) -> Result<PeftFiles, AdapterError> {
        self.check()?;
        let widened = self.modules.iter().any(|module| module.frozen.is_some());
        let (modules, target_modules) = self.trimmed();
        if modules.is_empty() {
            return Err(AdapterError::Empty);
        }
        let written = |rank: usize| if widened { 2 * rank } else { rank };
        let named: Vec<(&Module, usize)> = modules.iter().map(|(module, rank)| (module, written(*rank))).collect();
        let ranks = Ranks::of(&named, self.scale());

        let mut tensors = Vec::with_capacity(2 * modules.len());
        for (module, own) in &modules {
            let rank = written(*own);
            let (a, b) = if widened { module.widened(*own) } else { (module.a.clone(), module.b.clone()) };
            tensors.push(Stored::of_f32(module.tensor("A"), vec![rank, module.inputs], &a));
            tensors.push(Stored::of_f32(module.tensor("B"), vec![module.outputs, rank], &b));
        }
        tensors.extend(self.saved.iter().map(SavedTensor::stored));
        let mut metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        if let Some(quantised) = &self.quantised_base {
            metadata.insert(QUANTISED_BASE.to_owned(), serde_json::to_string(quantised)?);
        }
        let checkpoint = Checkpoint { metadata, tensors };
        Ok(PeftFiles {
            config_json: self.config_json(&ranks, &target_modules),
            safetensors: write_safetensors(&checkpoint).map_err(AdapterError::Unwritable)?,
        })
    }

    /// The settings that every version of PEFT since LoRA's rank patterns knows; newer settings have their defaults.
    fn config_json(&self, ranks: &Ranks, target_modules: &[String]) -> String {
        let as_it_is = ranks.rank == self.rank && ranks.rank_pattern.is_empty() && ranks.alpha_pattern.is_empty();
        let alpha = if as_it_is { self.alpha } else { self.scale() * ranks.rank as f64 };
        let use_rslora = self.use_rslora && as_it_is;
        let whole = alpha as i64;
        let (base, revision) = parted(&self.base);
        let mut saved: Vec<&str> = self.saved.iter().map(SavedTensor::module).collect();
        saved.dedup();
        let config = json!({
            "alpha_pattern": ranks.alpha_pattern,
            "auto_mapping": null,
            "base_model_name_or_path": (!base.is_empty()).then_some(base),
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "layers_pattern": null,
            "layers_to_transform": null,
            // PEFT's own files have an integer here; a fraction comes only from a scale α/√R.
            "lora_alpha": if whole as f64 == alpha { json!(whole) } else { json!(alpha) },
            "lora_dropout": self.dropout,
            "modules_to_save": (!saved.is_empty()).then_some(&saved),
            "peft_type": "LORA",
            "r": ranks.rank,
            "rank_pattern": ranks.rank_pattern,
            "revision": revision,
            "target_modules": target_modules,
            "task_type": if saved.is_empty() { "CAUSAL_LM" } else { "SEQ_CLS" },
            "use_rslora": use_rslora,
        });
        format!("{config:#}\n")
    }

    /// Reads an adapter that PEFT or [`Adapter::to_peft`] wrote, in f32, f16 or bf16. Modules come in the order of
    /// their names. A frozen pair that was written as part of a wider adapter remains part of it.
    ///
    /// # Errors
    /// If a file is damaged, a tensor is missing, misshapen or not finite, or the configuration has settings that a
    /// plain LoRA layer does not support.
    pub fn from_peft(config_json: &str, safetensors: &[u8]) -> Result<Self, AdapterError> {
        let config = Config::parse(config_json)?;
        let base = config.base();
        let file = read_safetensors(&Bytes::copy_from_slice(safetensors)).map_err(AdapterError::Unreadable)?;

        let mut pairs: BTreeMap<&str, [Option<Matrix>; 2]> = BTreeMap::new();
        let mut saved = vec![];
        for stored in &file.tensors {
            if let Some(tensor) = SavedTensor::read(stored, &config.modules_to_save)? {
                saved.push(tensor);
                continue;
            }
            let name = &stored.name;
            let (module, factor) = parse_name(name).ok_or_else(|| AdapterError::Unexpected(name.clone()))?;
            pairs.entry(module).or_default()[factor] = Some(Matrix::read(stored)?);
        }
        pairs.keys().try_for_each(|module| config.check_meant(module))?;
        let rank_of = |name: &str| config.rank_pattern.value_for(name).unwrap_or(config.r);
        let ranks: Vec<usize> = pairs.keys().map(|name| rank_of(name)).collect();
        let modules = pairs.into_iter().zip(&ranks).map(|((name, pair), rank)| Module::from_pair(name, pair, *rank));
        let modules = modules.collect::<Result<Vec<_>, _>>()?;

        let target_modules = if config.target_modules.is_array() && !config.narrows {
            serde_json::from_value(config.target_modules)?
        } else {
            // A pattern, or a choice of layers, selects modules of a model; those that were selected are the ones with tensors.
            modules.iter().map(|module| module.name.clone()).collect()
        };
        let mut adapter = Self {
            base,
            quantised_base: file.metadata.get(QUANTISED_BASE).map(|text| serde_json::from_str(text)).transpose()?,
            rank: config.r,
            alpha: config.lora_alpha,
            use_rslora: config.use_rslora,
            dropout: config.lora_dropout,
            target_modules,
            modules,
            saved,
        };
        let (alphas, rslora) = (config.alpha_pattern, adapter.use_rslora);
        let scale = |name: &str, rank: usize| {
            let alpha = alphas.value_for(name).unwrap_or(config.lora_alpha);
            alpha / if rslora { (rank as f64).sqrt() } else { rank as f64 }
        };
        adapter.level(scale, &ranks)?;
        adapter.check()?;
        Ok(adapter)
    }

    fn check(&self) -> Result<(), AdapterError> {
        if self.rank == 0 {
            return Err(AdapterError::NoRank);
        }
        if !(self.scale() as f32).is_finite() {
            return Err(AdapterError::Alpha(self.alpha));
        }
        if self.modules.is_empty() {
            return Err(AdapterError::Empty);
        }
        let mut seen = HashSet::new();
        for module in &self.modules {
            if !seen.insert(&module.name) {
                return Err(AdapterError::Duplicate(module.name.clone()));
            }
            if !self.targets(&module.name) {
                return Err(AdapterError::Untargeted(module.name.clone()));
            }
            module.check(self.rank)?;
        }
        for tensor in &self.saved {
            check_finite(&tensor.values, || format!("the tensor \"{}\"", tensor.name))?;
        }
        Ok(())
    }
}

impl Module {
    fn tensor(&self, factor: &str) -> String {
        format!("{PREFIX}{}.lora_{factor}.weight", self.name)
    }

    fn check(&self, rank: usize) -> Result<(), AdapterError> {
        let frozen = self.frozen.iter().flat_map(|(a, b)| [("frozen A", a), ("frozen B", b)]);
        for (factor, values) in [("A", &self.a), ("B", &self.b)].into_iter().chain(frozen) {
            let (rows, columns) = if factor.ends_with('A') { (rank, self.inputs) } else { (self.outputs, rank) };
            if Some(values.len()) != rows.checked_mul(columns) {
                let module = self.name.clone();
                return Err(AdapterError::Length { module, factor, found: values.len(), rows, columns });
            }
            check_finite(values, || format!("{factor} of the module \"{}\"", self.name))?;
        }
        Ok(())
    }

    /// A' = [A; A₀] and B' = [B, −B₀].
    fn widened(&self, rank: usize) -> (Vec<f32>, Vec<f32>) {
        let zeros = || (vec![0.0; self.a.len()], vec![0.0; self.b.len()]);
        let (a_0, b_0) = self.frozen.clone().unwrap_or_else(zeros);
        let rows = self.b.chunks(rank).zip(b_0.chunks(rank));
        let b = rows.flat_map(|(row, row_0)| row.iter().copied().chain(row_0.iter().map(|value| -value)));
        ([&self.a[..], &a_0].concat(), b.collect())
    }

    fn from_pair(name: &str, pair: [Option<Matrix>; 2], rank: usize) -> Result<Self, AdapterError> {
        let [Some(a), Some(b)] = pair else {
            let absent = if pair[0].is_none() { "A" } else { "B" };
            return Err(AdapterError::Missing(format!("{PREFIX}{name}.lora_{absent}.weight")));
        };
        let wrong = |factor, shape: [usize; 2], needed: String| AdapterError::Shape {
            tensor: format!("{PREFIX}{name}.lora_{factor}.weight"),
            found: shape.to_vec(),
            needed,
        };
        if a.shape[0] != rank {
            return Err(wrong("A", a.shape, format!("({rank}, inputs)")));
        }
        if b.shape[1] != rank {
            return Err(wrong("B", b.shape, format!("(outputs, {rank})")));
        }
        Ok(Self {
            name: name.to_owned(),
            inputs: a.shape[1],
            outputs: b.shape[0],
            a: a.values,
            b: b.values,
            factor: 1.0,
            frozen: None,
        })
    }
}

/// A tensor from the file.
struct Matrix {
    shape: [usize; 2],
    values: Vec<f32>,
}

impl Matrix {
    fn read(stored: &Stored) -> Result<Self, AdapterError> {
        let tensor = stored.name.clone();
        let Some(values) = stored.to_f32() else {
            return Err(AdapterError::Type { tensor, found: stored.format.clone() });
        };
        check_finite(&values, || format!("the tensor \"{tensor}\""))?;
        let &[rows, columns] = &*stored.shape else {
            let found = stored.shape.clone();
            return Err(AdapterError::Shape { tensor, found, needed: "a matrix".to_owned() });
        };
        Ok(Self { shape: [rows, columns], values })
    }
}

fn check_finite(values: &[f32], place: impl Fn() -> String) -> Result<(), AdapterError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(AdapterError::NotFinite { place: place(), index, value: values[index] }),
    }
}

/// The module and the factor (0 for A, 1 for B) in a tensor's name.
fn parse_name(tensor: &str) -> Option<(&str, usize)> {
    let name = tensor.strip_prefix(PREFIX)?;
    let a = name.strip_suffix(".lora_A.weight").map(|module| (module, 0));
    a.or_else(|| name.strip_suffix(".lora_B.weight").map(|module| (module, 1)))
}

/// The name and the revision of a base of Hugging Face's hub, `organisation/name@revision`, which PEFT stores apart.
fn parted(base: &str) -> (&str, Option<&str>) {
    match base.split_once('@') {
        Some((name, revision)) if name.split('/').count() == 2 => (name, Some(revision)),
        _ => (base, None),
    }
}

#[cfg(test)]
mod tests;
