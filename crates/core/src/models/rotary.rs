//! Rotary positions as a `config.json` describes them: base, scaling, and the share of a head that is rotated.
//!
//! Both layouts are read: `rope_theta` and `rope_scaling` beside the sizes, as transformers 4 writes them, and one object `rope_parameters`, as transformers 5
//! does. The frequencies are those of transformers' `modeling_rope_utils.py`, in f64.

use std::f64::consts::PI;

use serde_json::{Map, Value as Json, json};

use super::BaseError;
use crate::graph::ops::Rotary;

/// The rotary positions of a model, or of one kind of its layers.
#[derive(Clone, Debug, PartialEq)]
pub struct RotaryConfig {
    /// Base θ of the wavelengths.
    pub theta: f64,
    /// Share of each head's features that are rotated, above 0 and at most 1.
    pub share: f64,
    /// The change of the frequencies for longer texts.
    pub scaling: Scaling,
}

/// A change of the plain frequencies that lets a model read longer texts than its first training had.
#[derive(Clone, Debug, PartialEq)]
pub enum Scaling {
    /// None.
    Plain,
    /// All frequencies divided by `factor`. Chen et al. 2023, arXiv 2306.15595.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Low frequencies divided by `factor`, high ones kept, those between interpolated: Llama 3.1.
    Llama3 {
        /// The divisor of low frequencies.
        factor: f64,
        /// Wavelengths above `original` / `low` are divided.
        low: f64,
        /// Wavelengths below `original` / `high` are kept.
        high: f64,
        /// Longest text of the first training, in tokens.
        original: f64,
    },
    /// YaRN: Peng et al. 2023, arXiv 2309.00071.
    Yarn {
        /// The divisor of low frequencies.
        factor: f64,
        /// Factor of cosines and sines.
        attention: f64,
        /// Pairs that turn more often than this within `original` tokens keep their frequency.
        fast: f64,
        /// Pairs that turn less often than this are divided by `factor`.
        slow: f64,
        /// Longest text of the first training, in tokens.
        original: f64,
        /// True if the ends of the range between are rounded to whole pairs.
        whole: bool,
    },
}

/// Keys of the settings that are read, beside the type's name.
const KNOWN: [&str; 14] = [
    "rope_type",
    "type",
    "rope_theta",
    "partial_rotary_factor",
    "factor",
    "low_freq_factor",
    "high_freq_factor",
    "original_max_position_embeddings",
    "attention_factor",
    "beta_fast",
    "beta_slow",
    "mscale",
    "mscale_all_dim",
    "truncate",
];

impl RotaryConfig {
    /// The plain embedding of whole heads.
    pub fn plain(theta: f64) -> RotaryConfig {
        RotaryConfig { theta, share: 1.0, scaling: Scaling::Plain }
    }

    /// Reads the rotary positions of a model whose layers are alike. `theta` is the family's base if the config gives none.
    ///
    /// # Errors
    /// If a number is missing or cannot be, or the frequencies are changed in a way that is not supported; the error names it.
    pub fn read(said: &Map<String, Json>, theta: Option<f64>) -> Result<RotaryConfig, BaseError> {
        let parameters = object(said, "rope_parameters")?;
        let scaling = object(said, "rope_scaling")?.or(parameters);
        of(&[scaling, Some(said)], said, theta)
    }

    /// Reads the rotary positions of one kind of layers, `full_attention` or `sliding_attention`, of a model that has both, as Gemma 3 does: transformers 5 has
    /// an object for each in `rope_parameters`; older files scale full attention only, and give the base of the other as `rope_local_base_freq`.
    ///
    /// # Errors
    /// As [`read`](RotaryConfig::read).
    pub fn read_layers(said: &Map<String, Json>, layers: &str, theta: f64) -> Result<RotaryConfig, BaseError> {
        if let Some(parameters) = object(said, "rope_parameters")?.filter(|all| all.contains_key(layers)) {
            return of(&[object(parameters, layers)?], said, Some(theta));
        }
        if layers == "sliding_attention" {
            let local = number(&[Some(said)], "rope_local_base_freq")?;
            return of(&[], said, Some(local.unwrap_or(theta)));
        }
        RotaryConfig::read(said, Some(theta))
    }

    /// The frequencies for heads of this many features.
    ///
    /// # Errors
    /// A sentence, if the rotated features cannot be paired.
    pub fn rotary(&self, head_size: usize) -> Result<Rotary, String> {
        let rotated = (head_size as f64 * self.share) as usize;
        if rotated == 0 || !rotated.is_multiple_of(2) {
            return Err(format!(
                "{rotated} of the {head_size} features of a head are rotated, but they are rotated in pairs"
            ));
        }
        let plain = Rotary::plain(self.theta, rotated);
        Ok(match self.scaling {
            Scaling::Plain => plain,
            Scaling::Linear { factor } => scaled(plain, |_, frequency| frequency / factor),
            Scaling::Llama3 { factor, low, high, original } => scaled(plain, |_, frequency| {
                let turns = original * frequency / (2.0 * PI);
                let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                (1.0 - kept) * frequency / factor + kept * frequency
            }),
            Scaling::Yarn { factor, attention, fast, slow, original, whole } => {
                let pair = |turns: f64| rotated as f64 * (original / (turns * 2.0 * PI)).ln() / (2.0 * self.theta.ln());
                let (first, last) = (pair(fast), pair(slow));
                let (first, last) = if whole { (first.floor(), last.ceil()) } else { (first, last) };
                let (first, last) = (first.max(0.0), last.min(rotated as f64 - 1.0));
                let width = if first == last { 0.001 } else { last - first };
                let divided = move |pair: usize| ((pair as f64 - first) / width).clamp(0.0, 1.0);
                let rotary = scaled(plain, |pair, frequency| {
                    frequency / factor * divided(pair) + frequency * (1.0 - divided(pair))
                });
                Rotary { factor: attention, ..rotary }
            }
        })
    }

    /// These settings as the object `rope_parameters` of transformers 5.
    pub fn write(&self) -> Json {
        let mut said = match self.scaling {
            Scaling::Plain => json!({"rope_type": "default"}),
            Scaling::Linear { factor } => json!({"rope_type": "linear", "factor": factor}),
            Scaling::Llama3 { factor, low, high, original } => json!({
                "rope_type": "llama3", "factor": factor, "low_freq_factor": low, "high_freq_factor": high,
                "original_max_position_embeddings": original as u64,
            }),
            Scaling::Yarn { factor, attention, fast, slow, original, whole } => json!({
                "rope_type": "yarn", "factor": factor, "attention_factor": attention, "beta_fast": fast, "beta_slow": slow,
                "original_max_position_embeddings": original as u64, "truncate": whole,
            }),
        };
        said["rope_theta"] = json!(self.theta);
        if self.share < 1.0 {
            said["partial_rotary_factor"] = json!(self.share);
        }
        said
    }
}

/// The plain frequencies, each replaced by `change` of its pair and itself.
fn scaled(plain: Rotary, change: impl Fn(usize, f64) -> f64) -> Rotary {
    let frequencies = plain.frequencies.into_iter().enumerate().map(|(pair, frequency)| change(pair, frequency));
    Rotary { frequencies: frequencies.collect(), ..plain }
}

/// Objects of settings, by precedence: the first that has a key gives its value.
type Settings<'a> = [Option<&'a Map<String, Json>>];

/// The rotary positions that `settings` describe; `said` is the whole config.
fn of(settings: &Settings<'_>, said: &Map<String, Json>, theta: Option<f64>) -> Result<RotaryConfig, BaseError> {
    let own = settings.first().copied().flatten();
    // Only an object of rotary settings is searched for unknown keys: the whole config has keys of everything else, too.
    if let Some((key, value)) =
        own.and_then(|own| own.iter().find(|(key, value)| !KNOWN.contains(&key.as_str()) && !value.is_null()))
    {
        return Err(BaseError::Unlike { key: "rope_parameters", found: json!({key.as_str(): value}).to_string() });
    }
    let share = number(settings, "partial_rotary_factor")?.or(number(&[Some(said)], "partial_rotary_factor")?);
    let theta = number(settings, "rope_theta")?.or(theta);
    let Some(theta) = theta else {
        return Err(BaseError::Sizes("it gives no `rope_theta`, the base of the rotary wavelengths".to_owned()));
    };
    let config = RotaryConfig { theta, share: share.unwrap_or(1.0), scaling: scaling(own, said)? };
    let is_share = config.share > 0.0 && config.share <= 1.0;
    if theta > 1.0 && theta.is_finite() && is_share {
        return Ok(config);
    }
    let problem = if is_share {
        format!("the rotary wavelengths have the base {theta}, which is no number above 1")
    } else {
        format!("`partial_rotary_factor` is {}, which is no share of a head", config.share)
    };
    Err(BaseError::Sizes(problem))
}

fn scaling(own: Option<&Map<String, Json>>, said: &Map<String, Json>) -> Result<Scaling, BaseError> {
    let named = own.and_then(|own| own.get("rope_type").or_else(|| own.get("type"))).filter(|kind| !kind.is_null());
    let given = |key: &'static str| number(&[own], key);
    let needed = |key: &'static str| {
        let found = given(key)?.filter(|number| *number > 0.0);
        found.ok_or_else(|| BaseError::Sizes(format!("its rotary scaling needs `{key}`, a number above 0")))
    };
    // transformers takes the longest text of the model where the scaling says none.
    let original = || match number(&[own, Some(said)], "original_max_position_embeddings")? {
        Some(original) if original > 0.0 => Ok(original),
        _ => number(&[Some(said)], "max_position_embeddings")?
            .filter(|tokens| *tokens > 0.0)
            .ok_or_else(|| BaseError::Sizes("its rotary scaling needs `original_max_position_embeddings`".to_owned())),
    };
    match named.map_or(Some("default"), Json::as_str) {
        Some("default") => Ok(Scaling::Plain),
        Some("linear") => Ok(Scaling::Linear { factor: needed("factor")? }),
        Some("llama3") => {
            let (low, high) = (needed("low_freq_factor")?, needed("high_freq_factor")?);
            if high <= low {
                let sentence = format!(
                    "`high_freq_factor` ({high}) of its rotary scaling must be above `low_freq_factor` ({low})"
                );
                return Err(BaseError::Sizes(sentence));
            }
            Ok(Scaling::Llama3 { factor: needed("factor")?, low, high, original: original()? })
        }
        Some("yarn") => {
            let original = original()?;
            let factor = match (given("factor")?, number(&[Some(said)], "max_position_embeddings")?) {
                (None, Some(tokens)) => tokens / original,
                _ => needed("factor")?,
            };
            let attention = match (given("attention_factor")?, given("mscale")?, given("mscale_all_dim")?) {
                (Some(attention), ..) => attention,
                (None, Some(scale), Some(all)) if scale != 0.0 && all != 0.0 => {
                    magnitude(factor, scale) / magnitude(factor, all)
                }
                _ => magnitude(factor, 1.0),
            };
            let or = |key, otherwise| given(key).map(|found| found.filter(|x| *x != 0.0).unwrap_or(otherwise));
            let whole = own.and_then(|own| own.get("truncate")).and_then(Json::as_bool).unwrap_or(true);
            let (fast, slow) = (or("beta_fast", 32.0)?, or("beta_slow", 1.0)?);
            Ok(Scaling::Yarn { factor, attention, fast, slow, original, whole })
        }
        _ => Err(BaseError::Unlike { key: "rope_type", found: named.map_or(String::new(), Json::to_string) }),
    }
}

/// YaRN's growth of the attention scores with the length of the text: Peng et al. 2023, arXiv 2309.00071, eq. 22.
fn magnitude(factor: f64, scale: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 }
}

/// The number under `key` in the first of the settings that has it.
fn number(settings: &Settings<'_>, key: &'static str) -> Result<Option<f64>, BaseError> {
    let found = settings.iter().flatten().find_map(|own| own.get(key).filter(|value| !value.is_null()));
    match found {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            Some(number) => Ok(Some(number)),
            None => Err(BaseError::Sizes(format!("`{key}` is {value}, which is no number"))),
        },
    }
}

/// The object of that key, if it is given.
fn object<'a>(said: &'a Map<String, Json>, key: &str) -> Result<Option<&'a Map<String, Json>>, BaseError> {
    match said.get(key) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Object(object)) => Ok(Some(object)),
        Some(other) => Err(BaseError::Sizes(format!("`{key}` is {other}, which is no object"))),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    /// A config, the kind of its layers if it has several, and what transformers makes of it.
    #[derive(Deserialize)]
    struct Known {
        what: String,
        config: Map<String, Json>,
        layers: Option<String>,
        head_size: usize,
        frequencies: Vec<f64>,
        factor: f64,
    }

    fn known() -> Vec<Known> {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/rotary.json"));
        serde_json::from_str(text).expect("the fixture is JSON")
    }

    fn read(known: &Known) -> RotaryConfig {
        let config = match &known.layers {
            Some(layers) => RotaryConfig::read_layers(&known.config, layers, 10_000.0),
            None => RotaryConfig::read(&known.config, Some(10_000.0)),
        };
        config.unwrap_or_else(|error| panic!("{}: {error}", known.what))
    }

    #[test]
    fn frequencies_are_those_of_transformers() {
        let all = known();
        assert!(all.len() >= 12, "{} configs", all.len());
        for known in all {
            let rotary = read(&known).rotary(known.head_size).expect("pairs");
            assert_eq!(rotary.frequencies.len(), known.frequencies.len(), "{}", known.what);
            assert!((rotary.factor - known.factor).abs() < 1e-12, "{}: a factor of {}", known.what, rotary.factor);
            for (found, expected) in rotary.frequencies.iter().zip(&known.frequencies) {
                // transformers computes in f32: the rounded exponent alone is off by 1e-6 in a frequency.
                assert!((found / expected - 1.0).abs() < 3e-6, "{}: {found} instead of {expected}", known.what);
            }
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for known in known() {
            let config = read(&known);
            let said = json!({"rope_parameters": config.write()});
            let again = RotaryConfig::read(said.as_object().expect("an object"), None).expect("what was written");
            assert_eq!(again, config, "{}", known.what);
        }
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        let refused = |said: Json| {
            let said = said.as_object().expect("an object");
            let config = RotaryConfig::read(said, Some(1e4));
            config.and_then(|config| config.rotary(8).map_err(BaseError::Sizes)).expect_err("refused").to_string()
        };
        for (said, named) in [
            (json!({"rope_scaling": {"type": "dynamic", "factor": 2.0}}), "dynamic"),
            (json!({"rope_parameters": {"rope_type": "longrope", "factor": 2.0}}), "longrope"),
            (json!({"rope_scaling": {"type": 3}}), "rope_type"),
            (json!({"rope_scaling": {"rope_type": "linear", "factor": 2.0, "mrope_section": [1]}}), "mrope_section"),
            (json!({"rope_scaling": {"rope_type": "linear"}}), "factor"),
            (json!({"rope_scaling": "linear"}), "no object"),
            (json!({"rope_theta": "much"}), "no number"),
            (json!({"rope_theta": 0.5}), "above 1"),
            (json!({"partial_rotary_factor": 1.5}), "share"),
            (json!({"partial_rotary_factor": 0.4}), "pairs"),
            (
                json!({"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0,
                "high_freq_factor": 1.0, "original_max_position_embeddings": 64}}),
                "high_freq_factor",
            ),
            (json!({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}), "original_max_position_embeddings"),
        ] {
            let sentence = refused(said.clone());
            assert!(sentence.contains(named), "{said}: {sentence}");
        }
    }
}
