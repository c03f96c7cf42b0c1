//! Adapters in the layout of PEFT, Hugging Face's adapter library: bytes in, bytes out, no files.
//!
//! PEFT keeps an adapter in a folder of two files, `adapter_config.json` and `adapter_model.safetensors`. The tensors are
//! named `base_model.model.<module>.lora_A.weight` (R, I) and `….lora_B.weight` (O, R).
//!
//! PEFT has no frozen pair. An adapter with one is written as a plain adapter of twice the rank that loads on the
//! untouched base: A' = \[A; A₀\], B' = \[B, −B₀\], with α' = s·2R and the classic scale α'/2R, so that
//! s'·B'·A' = s·(B·A − B₀·A₀).

mod config;
mod pattern;
mod ranks;

use std::collections::{BTreeMap, HashSet};

use loralab_checkpoint::{Checkpoint, CheckpointError, Format, Stored, read_safetensors, write_safetensors};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::lora::init::Quantiser;

use config::Config;
use ranks::Ranks;

/// The metadata of the tensors' file that name a quantised base, as JSON.
const QUANTISED_BASE: &str = "quantised_base";
/// PEFT wraps the base model twice; every tensor's name shows it.
const PREFIX: &str = "base_model.model.";

/// A LoRA adapter: one pair of factors for each adapted layer of a base model.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// The base model's name or path, as PEFT looks it up; empty if not known.
    pub base: String,
    /// Set where the adapter belongs to a quantised base; `base` then says so in words.
    pub quantised_base: Option<QuantisedBase>,
    /// Rank of every pair, R.
    pub rank: usize,
    /// α, from which the scale follows: see [`Adapter::scale`].
    pub alpha: f64,
    /// Whether the scale is α/√R (rsLoRA, arXiv 2312.03732) instead of α/R.
    pub use_rslora: bool,
    /// What the adapted modules are called: full names or their last parts, such as `q_proj`.
    pub target_modules: Vec<String>,
    /// The adapted modules.
    pub modules: Vec<Module>,
}

/// A base whose adapted weights are kept in few bits; the adapter belongs to that, not to the base as it came. It stands in the metadata of the tensors' file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuantisedBase {
    /// The base as it came.
    pub base: String,
    /// How its adapted weights are kept.
    pub quantiser: Quantiser,
    /// In how many rounds LoftQ brought them there.
    pub rounds: usize,
    /// The rank of those rounds; 0 where one round is all.
    pub rank: usize,
}

/// The factors of one adapted layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Module {
    /// The module's name in the base model, such as `model.layers.0.self_attn.q_proj`.
    pub name: String,
    /// Width of the layer's input, I.
    pub inputs: usize,
    /// Width of the layer's output, O.
    pub outputs: usize,
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

/// Why an adapter cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterError {
    /// The configuration is not JSON, or a field is missing or of another type.
    #[error("adapter_config.json is not a PEFT configuration: {0}; save the adapter again with save_pretrained")]
    Config(#[from] serde_json::Error),
    /// The configuration asks for something that a plain LoRA layer does not do.
    #[error("adapter_config.json sets \"{key}\" to {found}, which cannot be run here: {reason}")]
    Unsupported {
        /// The setting.
        key: &'static str,
        /// Its value, as JSON.
        found: String,
        /// What it would take, and what can be done.
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
    /// α is not a number, or gives a scale that is none.
    #[error(
        "the adapter has alpha {0}, which gives no scale that a 32-bit float can hold; choose a number nearer to 1"
    )]
    Alpha(f64),
    /// A few modules of a high rank beside many of a low one.
    #[error(
        "the adapter's modules have ranks from {lowest} to {highest}, which is too far apart to run: all are computed at the highest; \
         split the adapter in two"
    )]
    Ranks {
        /// The lowest.
        lowest: usize,
        /// The highest.
        highest: usize,
    },
    /// There is no pair of factors at all.
    #[error("the adapter has no LoRA tensors; at least one module needs its lora_A and lora_B")]
    Empty,
    /// A factor stands without its partner.
    #[error("adapter_model.safetensors has no tensor \"{0}\", the other half of a pair that it holds")]
    Missing(String),
    /// A tensor is neither a lora_A nor a lora_B of a linear layer.
    #[error(
        "adapter_model.safetensors holds \"{0}\", which is not a LoRA factor of a linear layer \
         (base_model.model.<module>.lora_A.weight or lora_B.weight); only those can be read"
    )]
    Unexpected(String),
    /// A tensor is stored in numbers that are not read here.
    #[error("the tensor \"{tensor}\" is stored as {found}; F32, F16 or BF16 is needed")]
    Type {
        /// The tensor's name.
        tensor: String,
        /// How it is stored.
        found: Format,
    },
    /// A tensor's shape does not go with the rank.
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
        /// Which factor.
        factor: &'static str,
        /// How many values there are.
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
    /// The same adapter for a PEFT that is to train A alone: its MiCA, which keeps B where it is.
    ///
    /// # Errors
    /// Only if the configuration is no JSON.
    pub fn training_a_only(mut self) -> Result<PeftFiles, AdapterError> {
        let mut config: serde_json::Value = serde_json::from_str(&self.config_json)?;
        config["init_lora_weights"] = json!("mica");
        self.config_json = format!("{config:#}\n");
        Ok(self)
    }
}

impl Adapter {
    /// s in y = x Wᵀ + s·(x Aᵀ) Bᵀ: α/R, or α/√R with rsLoRA.
    pub fn scale(&self) -> f64 {
        let rank = self.rank as f64;
        self.alpha / if self.use_rslora { rank.sqrt() } else { rank }
    }

    /// Whether it is meant for a module of this name.
    pub fn targets(&self, module: &str) -> bool {
        self.target_modules.iter().any(|target| covers(target, module))
    }

    /// The two files that PEFT's `PeftModel.from_pretrained` loads, with the factors in f32.
    ///
    /// If any module has a frozen pair, all are written with twice the rank, those without one with a pair of zeros. A module whose factors end in zeros is
    /// written without them, with a rank of its own; one that is all zeros is left out.
    ///
    /// # Errors
    /// If the adapter is not one that PEFT would load whole: no modules, wrong lengths, values that are not finite,
    /// names that come twice or that no target module covers.
    pub fn to_peft(&self) -> Result<PeftFiles, AdapterError> {
        self.check()?;
        let widened = self.modules.iter().any(|module| module.frozen.is_some());
        let (modules, target_modules) = self.trimmed();
        if modules.is_empty() {
            return Err(AdapterError::Empty);
        }
        let written = |rank: usize| if widened { 2 * rank } else { rank };
        let named: Vec<(&str, usize)> = modules.iter().map(|(module, rank)| (&*module.name, written(*rank))).collect();
        let ranks = Ranks::of(&named, self.scale());

        let mut tensors = Vec::with_capacity(2 * modules.len());
        for (module, own) in &modules {
            let rank = written(*own);
            let (a, b) = if widened { module.widened(*own) } else { (module.a.clone(), module.b.clone()) };
            tensors.push(Stored::of_f32(module.tensor("A"), vec![rank, module.inputs], &a));
            tensors.push(Stored::of_f32(module.tensor("B"), vec![module.outputs, rank], &b));
        }
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

    /// The settings that every version of PEFT since LoRA's rank patterns knows; newer ones have their defaults.
    fn config_json(&self, ranks: &Ranks, target_modules: &[String]) -> String {
        let as_it_is = ranks.rank == self.rank && ranks.rank_pattern.is_empty();
        let alpha = if as_it_is { self.alpha } else { self.scale() * ranks.rank as f64 };
        let use_rslora = self.use_rslora && as_it_is;
        let whole = alpha as i64;
        let config = json!({
            "alpha_pattern": ranks.alpha_pattern,
            "auto_mapping": null,
            "base_model_name_or_path": (!self.base.is_empty()).then_some(&self.base),
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "layers_pattern": null,
            "layers_to_transform": null,
            // PEFT's own files have a whole number here; a fraction comes only from a scale α/√R.
            "lora_alpha": if whole as f64 == alpha { json!(whole) } else { json!(alpha) },
            "lora_dropout": 0.0,
            "modules_to_save": null,
            "peft_type": "LORA",
            "r": ranks.rank,
            "rank_pattern": ranks.rank_pattern,
            "revision": null,
            "target_modules": target_modules,
            "task_type": "CAUSAL_LM",
            "use_rslora": use_rslora,
        });
        format!("{config:#}\n")
    }

    /// Reads an adapter that PEFT or [`Adapter::to_peft`] wrote, in f32, f16 or bf16. Modules come in the order of
    /// their names. A frozen pair that was written as part of a wider adapter stays part of it.
    ///
    /// # Errors
    /// If a file is damaged, a tensor is missing, misshapen or not finite, or the configuration asks for more than a
    /// plain LoRA layer does.
    pub fn from_peft(config_json: &str, safetensors: &[u8]) -> Result<Self, AdapterError> {
        let config = Config::parse(config_json)?;
        let file = read_safetensors(safetensors).map_err(AdapterError::Unreadable)?;

        let mut pairs: BTreeMap<&str, [Option<Matrix>; 2]> = BTreeMap::new();
        for stored in &file.tensors {
            let name = &stored.name;
            let (module, factor) = parse_name(name).ok_or_else(|| AdapterError::Unexpected(name.clone()))?;
            pairs.entry(module).or_default()[factor] = Some(Matrix::read(stored)?);
        }
        pairs.keys().try_for_each(|module| config.check_meant(module))?;
        let rank_of = |name: &str| config.rank_pattern.said(name).unwrap_or(config.r);
        let ranks: Vec<usize> = pairs.keys().map(|name| rank_of(name)).collect();
        let modules = pairs.into_iter().zip(&ranks).map(|((name, pair), rank)| Module::from_pair(name, pair, *rank));
        let modules = modules.collect::<Result<Vec<_>, _>>()?;

        let target_modules = if config.target_modules.is_array() && !config.narrows {
            serde_json::from_value(config.target_modules)?
        } else {
            // A pattern, or a choice of layers, says which modules of a model are meant; those that were are the ones with tensors.
            modules.iter().map(|module| module.name.clone()).collect()
        };
        let mut adapter = Self {
            base: config.base_model_name_or_path.unwrap_or_default(),
            quantised_base: file.metadata.get(QUANTISED_BASE).map(|text| serde_json::from_str(text)).transpose()?,
            rank: config.r,
            alpha: config.lora_alpha,
            use_rslora: config.use_rslora,
            target_modules,
            modules,
        };
        let (alphas, rslora) = (config.alpha_pattern, adapter.use_rslora);
        let scale = |name: &str, rank: usize| {
            let alpha = alphas.said(name).unwrap_or(config.lora_alpha);
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
            frozen: None,
        })
    }
}

/// A tensor of the file.
struct Matrix {
    shape: [usize; 2],
    values: Vec<f32>,
}

impl Matrix {
    fn read(stored: &Stored<'_>) -> Result<Self, AdapterError> {
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

/// The module and the factor (0 for A, 1 for B) that a tensor's name stands for.
fn parse_name(tensor: &str) -> Option<(&str, usize)> {
    let name = tensor.strip_prefix(PREFIX)?;
    let a = name.strip_suffix(".lora_A.weight").map(|module| (module, 0));
    a.or_else(|| name.strip_suffix(".lora_B.weight").map(|module| (module, 1)))
}

/// PEFT's rule: a target is a module's full name, or its last parts.
fn covers(target: &str, module: &str) -> bool {
    module.strip_suffix(target).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};
    use safetensors::{Dtype, SafeTensors, tensor::TensorView};

    use super::*;
    use loralab_linalg::Stream;
    use serde_json::Value;

    fn random(name: &str, length: usize) -> Vec<f32> {
        let mut values = vec![0.0; length];
        Stream::new(1, name).normal(1.0, &mut values);
        values
    }

    fn module(name: &str, inputs: usize, outputs: usize, rank: usize) -> Module {
        Module {
            name: name.to_owned(),
            inputs,
            outputs,
            a: random(&format!("{name} A"), rank * inputs),
            b: random(&format!("{name} B"), outputs * rank),
            frozen: None,
        }
    }

    fn adapter() -> Adapter {
        Adapter {
            base: "org/base".to_owned(),
            quantised_base: None,
            rank: 2,
            alpha: 3.0,
            use_rslora: false,
            target_modules: vec!["q_proj".to_owned(), "down_proj".to_owned()],
            modules: vec![
                module("model.layers.0.mlp.down_proj", 5, 3, 2),
                module("model.layers.0.self_attn.q_proj", 3, 4, 2),
            ],
        }
    }

    fn read(files: &PeftFiles) -> Result<Adapter, AdapterError> {
        Adapter::from_peft(&files.config_json, &files.safetensors)
    }

    fn written(adapter: &Adapter) -> PeftFiles {
        adapter.to_peft().expect("a sound adapter")
    }

    /// The sentence of the error that `adapter` cannot be written for.
    fn refusal(change: impl Fn(&mut Adapter)) -> String {
        let mut adapter = adapter();
        change(&mut adapter);
        adapter.to_peft().expect_err("a broken adapter").to_string()
    }

    /// The sentence of the error that a configuration with one setting changed gives.
    fn config_refusal(key: &str, value: Value) -> String {
        let PeftFiles { config_json, safetensors } = written(&adapter());
        let mut config: Value = serde_json::from_str(&config_json).expect("our own JSON");
        config[key] = value;
        Adapter::from_peft(&config.to_string(), &safetensors).expect_err("a refused setting").to_string()
    }

    fn file(tensors: &[(&str, Dtype, &[usize], &[u8])]) -> Vec<u8> {
        let views = tensors.iter().map(|&(name, dtype, shape, bytes)| {
            (name, TensorView::new(dtype, shape.to_vec(), bytes).expect("bytes that fit"))
        });
        safetensors::serialize(views, None).expect("a small file")
    }

    fn little_endian(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    const CONFIG: &str = r#"{"peft_type": "LORA", "r": 1, "lora_alpha": 16, "target_modules": ["proj"]}"#;
    const A: &str = "base_model.model.proj.lora_A.weight";
    const B: &str = "base_model.model.proj.lora_B.weight";

    /// W + s·B·A − s·B₀·A₀ without W, in f64.
    fn product(adapter: &Adapter, module: &Module) -> Vec<f64> {
        let multiply = |b: &[f32], a: &[f32], out: usize, column: usize| -> f64 {
            let terms = (0..adapter.rank)
                .map(|r| f64::from(b[out * adapter.rank + r]) * f64::from(a[r * module.inputs + column]));
            terms.sum()
        };
        let places = (0..module.outputs).flat_map(|out| (0..module.inputs).map(move |column| (out, column)));
        let values = places.map(|(out, column)| {
            let frozen = module.frozen.as_ref().map_or(0.0, |(a, b)| multiply(b, a, out, column));
            adapter.scale() * (multiply(&module.b, &module.a, out, column) - frozen)
        });
        values.collect()
    }

    #[test]
    fn comes_back_as_it_went() {
        for use_rslora in [false, true] {
            let adapter = Adapter { use_rslora, ..adapter() };
            assert_eq!(read(&written(&adapter)).expect("our own files"), adapter);
        }
        let fraction = Adapter { alpha: 0.75, base: String::new(), ..adapter() };
        assert_eq!(read(&written(&fraction)).expect("our own files"), fraction);
    }

    #[test]
    fn config_is_what_peft_writes() {
        let config: Value = serde_json::from_str(&written(&adapter()).config_json).expect("JSON");
        let expected = json!({
            "alpha_pattern": {}, "auto_mapping": null, "base_model_name_or_path": "org/base", "bias": "none",
            "fan_in_fan_out": false, "inference_mode": true, "init_lora_weights": true, "layers_pattern": null,
            "layers_to_transform": null, "lora_alpha": 3, "lora_dropout": 0.0, "modules_to_save": null,
            "peft_type": "LORA", "r": 2, "rank_pattern": {}, "revision": null,
            "target_modules": ["q_proj", "down_proj"], "task_type": "CAUSAL_LM", "use_rslora": false,
        });
        assert_eq!(config, expected);
    }

    #[test]
    fn tensors_have_pefts_names_and_shapes() {
        let bytes = written(&adapter()).safetensors;
        let file = SafeTensors::deserialize(&bytes).expect("a sound file");
        let mut tensors: Vec<_> = file.iter().map(|(name, view)| (name, view.shape().to_vec(), view.dtype())).collect();
        tensors.sort();
        let expected = [
            ("base_model.model.model.layers.0.mlp.down_proj.lora_A.weight", vec![2, 5], Dtype::F32),
            ("base_model.model.model.layers.0.mlp.down_proj.lora_B.weight", vec![3, 2], Dtype::F32),
            ("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", vec![2, 3], Dtype::F32),
            ("base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight", vec![4, 2], Dtype::F32),
        ];
        assert_eq!(tensors, expected);
        let (_, metadata) = SafeTensors::read_metadata(&bytes).expect("a sound file");
        let format = metadata.metadata().as_ref().and_then(|entries| entries.get("format").cloned());
        assert_eq!(format.as_deref(), Some("pt"));
    }

    #[test]
    fn frozen_pair_becomes_the_second_half_of_a_plain_adapter() {
        for use_rslora in [false, true] {
            let mut adapter = Adapter { use_rslora, ..adapter() };
            adapter.modules[1].frozen = Some((random("A0", 6), random("B0", 8)));
            let wide = read(&written(&adapter)).expect("our own files");
            assert_eq!((wide.rank, wide.use_rslora), (4, false));
            assert!((wide.scale() / adapter.scale() - 1.0).abs() < 1e-15);
            for (wide_module, module) in wide.modules.iter().zip(&adapter.modules) {
                for (value, expected) in product(&wide, wide_module).iter().zip(product(&adapter, module)) {
                    assert!((value - expected).abs() < 1e-12, "{value}, not {expected}");
                }
            }
        }
    }

    /// What ends in zeros is cut, what is all zeros goes, and what comes back computes the same.
    #[test]
    fn modules_have_ranks_of_their_own() {
        for frozen in [false, true] {
            let mut adapter = adapter();
            adapter.modules.push(module("model.layers.1.self_attn.q_proj", 3, 4, 2));
            let (short, gone) = (1, 2);
            let cut = |module: &mut Module, from: usize| {
                module.a[from * module.inputs..].fill(0.0);
                module.b.chunks_exact_mut(2).for_each(|row| row[from..].fill(0.0));
            };
            cut(&mut adapter.modules[short], 1);
            cut(&mut adapter.modules[gone], 0);
            if frozen {
                adapter.modules[short].frozen =
                    Some((adapter.modules[short].a.clone(), adapter.modules[short].b.clone()));
            }
            let files = written(&adapter);
            let config: Value = serde_json::from_str(&files.config_json).expect("our own JSON");
            let wide = if frozen { 2 } else { 1 };
            let name = &adapter.modules[short].name;
            assert_eq!(config["rank_pattern"], json!({name: wide}), "{config}");
            assert_eq!(config["alpha_pattern"], json!({name: 1.5 * f64::from(wide)}));
            assert_eq!(config["target_modules"].as_array().map(Vec::len), Some(2));
            let back = read(&files).expect("our own files");
            assert_eq!((back.modules.len(), back.rank, back.scale()), (2, 2 * wide as usize, 1.5));
            for (found, module) in back.modules.iter().zip(&adapter.modules) {
                assert_eq!(found.name, module.name);
                for (value, expected) in product(&back, found).iter().zip(product(&adapter, module)) {
                    assert!((value - expected).abs() < 1e-12, "{value}, not {expected}");
                }
            }
        }
    }

    #[test]
    fn scales_of_their_own_are_made_up_for() {
        let adapter = adapter();
        let files = written(&adapter);
        let mut config: Value = serde_json::from_str(&files.config_json).expect("our own JSON");
        config["alpha_pattern"] = json!({"q_proj": 6});
        let back = Adapter::from_peft(&config.to_string(), &files.safetensors).expect("a pattern");
        let [plain, doubled] = [0, 1]
            .map(|index: usize| (product(&back, &back.modules[index]), product(&adapter, &adapter.modules[index])));
        assert_eq!(plain.0, plain.1);
        assert!(doubled.0.iter().zip(&doubled.1).all(|(found, half)| (found - 2.0 * half).abs() < 1e-12));
    }

    /// PEFT's `get_pattern_key`: `re.match(rf"(.*\.)?({key})$", name)`, the first key of the file that fits. What it gives for these was asked of PEFT 0.21.2.
    #[test]
    fn patterns_are_regular_expressions_of_names() {
        let name = "model.layers.0.self_attn.q_proj";
        for (pattern, expected) in [
            (json!({"q_proj": 5}), Some(5.0)),
            (json!({"self.attn.q.proj": 5}), Some(5.0)),
            (json!({"_proj": 5}), None),
            (json!({"q_pro": 5}), None),
            (json!({"attn.q_proj": 5}), None),
            (json!({r".*layers\.0.*": 5}), Some(5.0)),
            (json!({r"layers\.[1-9]+\..*": 5}), None),
            (json!({"^q_proj": 5}), None),
            (json!({"^model.layers.0.self_attn.q_proj": 5}), Some(5.0)),
            (json!({"k_proj|q_proj": 5}), Some(5.0)),
            (json!({"q_proj": 5, "model.layers.0.self_attn.q_proj": 6}), Some(5.0)),
            (json!({"model.layers.0.self_attn.q_proj": 6, "q_proj": 5}), Some(6.0)),
            (json!({}), None),
            (json!(null), None),
        ] {
            let found = pattern::Pattern::<f64>::parse("alpha_pattern", &pattern).expect("expressions").said(name);
            assert_eq!(found, expected, "{pattern}");
        }
    }

    /// A scale of 0 is one like any other.
    #[test]
    fn modules_of_scale_0_add_nothing() {
        let adapter = adapter();
        let files = written(&adapter);
        let mut config: Value = serde_json::from_str(&files.config_json).expect("our own JSON");
        config["lora_alpha"] = json!(0);
        let read = |config: &Value| {
            let back = Adapter::from_peft(&config.to_string(), &files.safetensors).expect("a pattern");
            [0, 1].map(|index: usize| product(&back, &back.modules[index]))
        };
        assert!(read(&config).iter().flatten().all(|x| *x == 0.0));
        config["alpha_pattern"] = json!({"q_proj": 3});
        let [none, some] = read(&config);
        assert!(none.iter().all(|x| *x == 0.0));
        assert_eq!(some, product(&adapter, &adapter.modules[1]));
        // However far the scales are apart, B stays within 32 bits.
        config["lora_alpha"] = json!(1e-30);
        config["alpha_pattern"] = json!({"q_proj": 1e30});
        assert!(read(&config).iter().flatten().all(|x| x.is_finite()));
    }

    #[test]
    fn equal_pairs_cancel() {
        let mut adapter = adapter();
        for module in &mut adapter.modules {
            module.frozen = Some((module.a.clone(), module.b.clone()));
        }
        let wide = read(&written(&adapter)).expect("our own files");
        assert_eq!(wide.alpha, 6.0);
        for module in &wide.modules {
            assert!(product(&wide, module).iter().all(|value| value.abs() < 1e-12));
        }
    }

    #[test]
    fn reads_half_precision_and_patterns() {
        let a: Vec<u8> = [1.5, -0.25].iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect();
        let b: Vec<u8> = [3.0, -128.0].iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect();
        let bytes = file(&[(A, Dtype::F16, &[1, 2], &a), (B, Dtype::BF16, &[2, 1], &b)]);
        let config = CONFIG.replace(r#"["proj"]"#, r#""all-linear""#);
        let adapter = Adapter::from_peft(&config, &bytes).expect("a sound adapter");
        assert_eq!((&adapter.modules[0].a[..], &adapter.modules[0].b[..]), (&[1.5, -0.25][..], &[3.0, -128.0][..]));
        assert_eq!((adapter.target_modules, adapter.alpha), (vec!["proj".to_owned()], 16.0));
        // A choice of layers leaves others without.
        let config = CONFIG.replace(r#""r": 1"#, r#""r": 1, "layers_to_transform": [0]"#);
        let config = config.replace(r#"["proj"]"#, r#"["proj", "up"]"#);
        let adapter = Adapter::from_peft(&config, &bytes).expect("a sound adapter");
        assert_eq!((adapter.targets("proj"), adapter.targets("layers.1.up")), (true, false));
    }

    #[test]
    fn damaged_files_are_errors() {
        let PeftFiles { config_json, safetensors } = written(&adapter());
        for length in 0..safetensors.len() {
            let error = Adapter::from_peft(&config_json, &safetensors[..length]).expect_err("a cut file");
            assert!(matches!(error, AdapterError::Unreadable(_)), "{length}: {error}");
        }
        for length in 0..config_json.trim_end().len() {
            let error = Adapter::from_peft(&config_json[..length], &safetensors).expect_err("a cut file");
            assert!(matches!(error, AdapterError::Config(_)), "{length}: {error}");
        }
        for place in 0..safetensors.len() {
            let mut damaged = safetensors.clone();
            damaged[place] ^= 0x55;
            let _ = Adapter::from_peft(&config_json, &damaged); // an adapter or an error, and no panic
        }
    }

    #[test]
    fn tensors_that_do_not_fit_are_errors() {
        let two = little_endian(&[1.0, 2.0]);
        let refused = |tensors: &[(&str, Dtype, &[usize], &[u8])]| {
            Adapter::from_peft(CONFIG, &file(tensors)).expect_err("a refused file").to_string()
        };
        let (a, b): (&[usize], &[usize]) = (&[1, 2], &[2, 1]);
        assert_eq!(
            refused(&[(A, Dtype::F32, a, &two)]),
            format!("adapter_model.safetensors has no tensor \"{B}\", the other half of a pair that it holds")
        );
        assert_eq!(
            refused(&[(A, Dtype::F32, b, &two), (B, Dtype::F32, b, &two)]),
            format!("the tensor \"{A}\" has shape [2, 1]; (1, inputs) is needed")
        );
        assert_eq!(
            refused(&[(A, Dtype::F32, a, &two), (B, Dtype::F32, a, &two)]),
            format!("the tensor \"{B}\" has shape [1, 2]; (outputs, 1) is needed")
        );
        assert_eq!(
            refused(&[(A, Dtype::F32, &[2], &two), (B, Dtype::F32, b, &two)]),
            format!("the tensor \"{A}\" has shape [2]; a matrix is needed")
        );
        assert_eq!(
            refused(&[(A, Dtype::I32, a, &two), (B, Dtype::F32, b, &two)]),
            format!("the tensor \"{A}\" is stored as I32; F32, F16 or BF16 is needed")
        );
        assert_eq!(
            refused(&[(A, Dtype::F32, a, &little_endian(&[0.0, f32::NAN])), (B, Dtype::F32, b, &two)]),
            format!("the tensor \"{A}\" holds NaN at position 1; an adapter needs finite numbers, so its run diverged")
        );
        let magnitude = "base_model.model.proj.lora_magnitude_vector";
        assert!(refused(&[(magnitude, Dtype::F32, &[2], &two)]).contains(magnitude));
        assert!(refused(&[]).starts_with("the adapter has no LoRA tensors"));
    }

    #[test]
    fn settings_that_change_the_mathematics_are_refused() {
        assert_eq!(
            config_refusal("use_dora", json!(true)),
            "adapter_config.json sets \"use_dora\" to true, which cannot be run here: DoRA rescales the base weights; \
             train the adapter without it"
        );
        for (key, value) in [
            ("peft_type", json!("IA3")),
            ("bias", json!("lora_only")),
            ("modules_to_save", json!(["lm_head"])),
            ("alora_invocation_tokens", json!([111, 119])),
            ("alpha_pattern", json!({"(?!self_attn)q_proj": 128})),
            ("init_lora_weights", json!("pissa_niter_4")),
            ("use_qalora", json!(true)),
            ("arrow_config", json!({"top_k": 3})),
            ("layers_to_transform", json!([1, 2])),
            ("layers_to_transform", json!(1)),
            ("exclude_modules", json!(["q_proj"])),
        ] {
            let sentence = config_refusal(key, value.clone());
            assert!(sentence.contains(&format!("sets \"{key}\" to {value}")), "{sentence}");
        }
        assert!(config_refusal("r", json!("two")).contains("invalid type"));
        assert!(config_refusal("alpha_pattern", json!({"q_proj": "much"})).contains("invalid type"));
        assert!(config_refusal("rank_pattern", json!({"q_proj": 1.5})).contains("invalid type"));
        assert!(config_refusal("rank_pattern", json!({"q_proj": 7})).contains("(7, inputs) is needed"));
        assert!(config_refusal("lora_alpha", json!(1e39)).contains("alpha 1000000000000000000000000000000000000000"));
        assert!(config_refusal("r", json!(0)).contains("rank 0"));
        assert!(config_refusal("r", json!(3)).contains("(3, inputs) is needed"));
    }

    #[test]
    fn broken_adapters_are_not_written() {
        let down = "model.layers.0.mlp.down_proj";
        assert_eq!(
            refusal(|adapter| adapter.modules[0].b[4] = f32::INFINITY),
            format!(
                "B of the module \"{down}\" holds inf at position 4; an adapter needs finite numbers, so its run diverged"
            )
        );
        assert_eq!(
            refusal(|adapter| adapter.modules[0].a.truncate(9)),
            format!("A of the module \"{down}\" has 9 values; 2 × 5 are needed")
        );
        assert_eq!(
            refusal(|adapter| adapter.modules[0].frozen = Some((vec![0.0; 10], vec![]))),
            format!("frozen B of the module \"{down}\" has 0 values; 3 × 2 are needed")
        );
        assert_eq!(
            refusal(|adapter| drop(adapter.target_modules.pop())),
            format!(
                "the module \"{down}\" matches none of the target modules; name it, or the last part of its name, there"
            )
        );
        assert!(refusal(|adapter| adapter.target_modules[1] = "own_proj".to_owned()).contains("matches none"));
        assert!(refusal(|adapter| adapter.modules.push(adapter.modules[0].clone())).contains("twice"));
        assert!(refusal(|adapter| adapter.modules.clear()).contains("no LoRA tensors"));
        assert!(refusal(|adapter| adapter.alpha = f64::NAN).contains("alpha NaN"));
        assert!(refusal(|adapter| adapter.rank = 0).contains("rank 0"));
    }
}
