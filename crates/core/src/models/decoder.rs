//! A decoder of Llama's shape: RMSNorm, rotary positions, grouped-query causal attention, SwiGLU. Names as Hugging Face spells them.

use serde::{Deserialize, Serialize};

use super::{Base, BaseError, config_json};
use crate::graph::{
    memory::{Group, Span, Value, Weight},
    tape::Tape,
};

/// The linear modules of a layer that adapters can target.
pub const MODULES: [&str; 7] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/// Sizes of a decoder; in JSON under the names of Hugging Face's `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// V.
    #[serde(rename = "vocab_size")]
    pub vocabulary: usize,
    /// Columns of the residual stream.
    #[serde(rename = "hidden_size")]
    pub width: usize,
    /// L.
    #[serde(rename = "num_hidden_layers")]
    pub layers: usize,
    /// H; D is `width / heads`.
    #[serde(rename = "num_attention_heads")]
    pub heads: usize,
    /// Heads of keys and values; divides H.
    #[serde(rename = "num_key_value_heads")]
    pub kv_heads: usize,
    /// Columns of gate and up.
    #[serde(rename = "intermediate_size")]
    pub feed_forward: usize,
    /// Base of the rotary wavelengths.
    pub rope_theta: f64,
    /// ε of the norms.
    #[serde(rename = "rms_norm_eps")]
    pub epsilon: f64,
    /// Whether the embedding is also the matrix of the logits.
    #[serde(rename = "tie_word_embeddings")]
    pub tied: bool,
    /// The longest sequence it was trained on.
    #[serde(rename = "max_position_embeddings")]
    pub tokens: usize,
}

impl Config {
    /// Reads the sizes from the text of a Hugging Face `config.json`.
    ///
    /// # Errors
    /// If a size is missing, or the model is none that this decoder is.
    pub fn from_json(text: &str) -> Result<Config, BaseError> {
        config_json::read(text)
    }

    /// Whether there can be a decoder of these sizes.
    ///
    /// # Errors
    /// A sentence that says which sizes do not go together.
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

    /// D.
    pub fn head_size(&self) -> usize {
        self.width / self.heads
    }

    /// Inputs and outputs of a module, (I, O).
    pub fn module_shape(&self, module: &str) -> [usize; 2] {
        let narrow = self.kv_heads * self.head_size();
        match module {
            "k_proj" | "v_proj" => [self.width, narrow],
            "gate_proj" | "up_proj" => [self.width, self.feed_forward],
            "down_proj" => [self.feed_forward, self.width],
            _ => [self.width, self.width],
        }
    }

    /// Every tensor of the model with its shape, in file order; a gain is (1, width).
    pub fn tensors(&self) -> Vec<(String, [usize; 2])> {
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

    /// Number of weights.
    pub fn parameters(&self) -> usize {
        self.tensors().iter().map(|(_, shape)| shape[0] * shape[1]).sum()
    }
}

/// The full name of a module, e.g. `model.layers.0.self_attn.q_proj`.
fn module_name(layer: usize, module: &str) -> String {
    let block = if matches!(module, "gate_proj" | "up_proj" | "down_proj") { "mlp" } else { "self_attn" };
    format!("model.layers.{layer}.{block}.{module}")
}

/// Which modules get adapters, and of which rank.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapters {
    /// R.
    pub rank: usize,
    /// Names out of [`MODULES`].
    pub target_modules: Vec<String>,
}

/// What is trained.
#[derive(Clone, Copy, Debug)]
pub enum Training<'a> {
    /// LoRA adapters beside the frozen weights of a base.
    Adapters(&'a Base, &'a Adapters),
    /// Nothing: the base alone, with the inputs of these modules, by their full names, observed.
    Observed(&'a Base, &'a [String]),
    /// Every weight (pretraining).
    Everything,
}

/// Records a decoder with its loss.
pub fn decoder(tape: &mut Tape, config: &Config, training: Training<'_>) {
    let mut model = Decoder { tape, training };
    let head_size = config.head_size();
    let table = model.rope_tables(config);
    let embedding = model.weight("model.embed_tokens.weight", [config.vocabulary, config.width], Group::Matrix);
    model.tape.label("embed_tokens");
    let mut x = model.tape.embedding(embedding, config.width);
    for layer in 0..config.layers {
        let h = model.norm(&format!("model.layers.{layer}.input_layernorm"), config, x);
        let [q, k, v] = ["q_proj", "k_proj", "v_proj"].map(|module| model.project(layer, module, config, h));
        model.tape.label(format!("layers.{layer}.self_attn"));
        let (q, k) = (model.tape.rope(q, head_size, table), model.tape.rope(k, head_size, table));
        let mixed = model.tape.attention(q, k, v, head_size);
        let out = model.project(layer, "o_proj", config, mixed);
        x = model.tape.add(x, out);
        let h = model.norm(&format!("model.layers.{layer}.post_attention_layernorm"), config, x);
        let [gate, up] = ["gate_proj", "up_proj"].map(|module| model.project(layer, module, config, h));
        model.tape.label(format!("layers.{layer}.mlp"));
        let active = model.tape.swiglu(gate, up);
        let down = model.project(layer, "down_proj", config, active);
        x = model.tape.add(x, down);
    }
    let x = model.norm("model.norm", config, x);
    let head = if config.tied {
        embedding
    } else {
        model.weight("lm_head.weight", [config.vocabulary, config.width], Group::Matrix)
    };
    model.tape.label("lm_head");
    let logits = model.tape.linear(x, head, config.vocabulary);
    model.tape.cross_entropy(logits);
}

struct Decoder<'a> {
    tape: &'a mut Tape,
    training: Training<'a>,
}

impl Decoder<'_> {
    fn weight(&mut self, name: &str, shape: [usize; 2], group: Group) -> Weight {
        match self.training {
            Training::Adapters(base, _) | Training::Observed(base, _) => Weight::Frozen(base.index(name)),
            Training::Everything => Weight::Trained(self.tape.parameter(name, shape, group)),
        }
    }

    fn norm(&mut self, name: &str, config: &Config, x: Value) -> Value {
        let weight = self.weight(&format!("{name}.weight"), [1, config.width], Group::Gain);
        self.tape.label(name.trim_start_matches("model."));
        self.tape.rms_norm(x, weight, config.epsilon)
    }

    fn project(&mut self, layer: usize, module: &str, config: &Config, x: Value) -> Value {
        let name = module_name(layer, module);
        let [inputs, outputs] = config.module_shape(module);
        let weight = self.weight(&format!("{name}.weight"), [outputs, inputs], Group::Matrix);
        self.tape.label(name.trim_start_matches("model."));
        match self.training {
            Training::Adapters(_, adapters) if adapters.target_modules.iter().any(|target| target == module) => {
                self.tape.lora_linear(x, weight, outputs, adapters.rank, &name)
            }
            Training::Observed(_, modules) if modules.contains(&name) => {
                self.tape.observe(x, &name);
                self.tape.linear(x, weight, outputs)
            }
            _ => self.tape.linear(x, weight, outputs),
        }
    }

    /// Cosines and sines of position · θ^(−2i/D), each (T, D/2).
    fn rope_tables(&mut self, config: &Config) -> usize {
        let half = config.head_size() / 2;
        let angle = |index: usize| {
            let (position, pair) = (index / half, index % half);
            position as f64 * config.rope_theta.powf(-(pair as f64) / half as f64)
        };
        let count = self.tape.tokens() * half;
        let cosines = self.tape.table((0..count).map(|index| angle(index).cos()).collect());
        self.tape.table((0..count).map(|index| angle(index).sin()).collect());
        cosines
    }
}

/// The initial value of a weight that is trained from nothing: N(0, 0.02²) for matrices, with the layers' outputs scaled by 1/√(2L) so that the
/// residual stream does not grow with depth (Radford et al. 2019, GPT-2), and 1 for gains. `len` elements of `span`'s tensor.
pub(crate) fn initial_weight(name: &str, group: Group, span: Span, layers: usize, seed: u64) -> Vec<f32> {
    let mut weight = vec![1.0; span.len];
    if group != Group::Gain {
        let outputs = name.contains("o_proj") || name.contains("down_proj");
        let std = if outputs { 0.02 / (2.0 * layers as f32).sqrt() } else { 0.02 };
        loralab_linalg::Stream::new(seed, name).normal(std, &mut weight);
    }
    weight
}
