//! A decoder of the Llama kind: layers of attention and of a gated feed-forward block, each between a norm and a residual connection.
//!
//! Llama, Mistral, SmolLM, Qwen and Gemma differ in the fields of a [`Decoder`], which lists the tensors and records the forward pass for all of
//! them, after transformers' `modeling_llama.py` and its siblings.

use serde_json::Value as Json;

use super::{BaseError, Fields, Linear, Network, Recorder};
use crate::graph::{
    memory::{Group, InputName, Value},
    ops::{Attend, Gain, Offset, Rotary, gelu},
};

/// The last components of the names of a layer's linear modules, in the order of the forward pass.
pub const MODULES: [&str; 7] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/// A decoder's sizes and the choices in which families differ.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Decoder {
    /// Vocabulary size V.
    pub vocabulary: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Attention heads H.
    pub heads: usize,
    /// Key and value heads; divides H.
    pub kv_heads: usize,
    /// Head size D; H·D may differ from the width.
    pub head_size: usize,
    /// Output columns of the gate and up projections.
    pub feed_forward: usize,
    /// Longest sequence that the model was trained on, in tokens.
    pub longest: usize,
    /// The layers.
    pub layers: Vec<Layer>,
    /// The rotary positions that layers have.
    pub rotaries: Vec<Rotary>,
    /// ε of the norms.
    pub epsilon: f64,
    /// The number that is added to the norms' stored gains.
    pub gain_offset: Offset,
    /// True if attention and feed-forward blocks have a norm after them, too.
    pub norms_behind: bool,
    /// True if each head of queries and keys is normed.
    pub head_norms: bool,
    /// The modules that have biases.
    pub biases: Biases,
    /// The function of the gate.
    pub activation: Activation,
    /// Factor of the embedding's rows.
    pub embedding_scale: f64,
    /// Factor of attention's scores.
    pub attention_scale: f64,
    /// Soft cap of attention's scores.
    pub attention_cap: Option<f64>,
    /// Soft cap of the logits.
    pub logit_cap: Option<f64>,
    /// True if the embedding is also the output matrix that gives the logits.
    pub tied: bool,
}

/// One layer's choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    /// Index of its rotary positions; `None` if queries and keys are not rotated.
    pub rotary: Option<usize>,
    /// The number of tokens that a token sees, itself and those before it; `None` for all.
    pub window: Option<usize>,
}

/// The modules of a layer that have biases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Biases {
    /// Queries, keys and values.
    pub inputs: bool,
    /// Attention's output.
    pub output: bool,
    /// The feed-forward block.
    pub feed_forward: bool,
}

/// The function f in f(gate) · up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    /// x · sigmoid(x).
    Silu,
    /// GELU.
    Gelu(gelu::Form),
}

impl Activation {
    /// Reads the function's name.
    ///
    /// # Errors
    /// If it is another function.
    pub fn read(fields: &Fields, key: &'static str, default: &str) -> Result<Activation, BaseError> {
        match fields.text(key).unwrap_or(default) {
            "silu" | "swish" => Ok(Activation::Silu),
            _ => fields.gelu(key, default).map(Activation::Gelu),
        }
    }
}

/// Values that transformers has for missing fields.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Defaults {
    /// Vocabulary size; the field is required, if none.
    pub vocabulary: Option<usize>,
    /// Heads; the field is required, if none.
    pub heads: Option<usize>,
    /// Key and value heads; as many as heads, if none.
    pub kv_heads: Option<usize>,
    /// Head size; the width divided by the heads, if none.
    pub head_size: Option<usize>,
    /// Longest sequence.
    pub longest: usize,
    /// Base of the rotary wavelengths.
    pub theta: f64,
    /// True if the embedding is also the output matrix.
    pub tied: bool,
}

impl Decoder {
    /// Reads what all families have: sizes, ε, tied matrices. Every layer is plain, and its rotary positions are still to be added.
    ///
    /// # Errors
    /// If a size is missing or no size, or they do not fit each other.
    pub fn read(fields: &Fields, defaults: &Defaults) -> Result<Decoder, BaseError> {
        let (width, heads) = (fields.size("hidden_size", None)?, fields.size("num_attention_heads", defaults.heads)?);
        let head_size = match fields.some_size("head_dim")?.or(defaults.head_size) {
            Some(size) => size,
            None if width.is_multiple_of(heads) => width / heads,
            None => return Err(BaseError::Sizes(format!("width {width} does not split into {heads} heads"))),
        };
        let layers = fields.size("num_hidden_layers", None)?;
        let decoder = Decoder {
            vocabulary: fields.size("vocab_size", defaults.vocabulary)?,
            width,
            heads,
            kv_heads: fields.size("num_key_value_heads", defaults.kv_heads.or(Some(heads)))?,
            head_size,
            feed_forward: fields.size("intermediate_size", None)?,
            longest: fields.size("max_position_embeddings", Some(defaults.longest))?,
            layers: vec![Layer { rotary: Some(0), window: None }; layers],
            rotaries: vec![],
            epsilon: fields.number("rms_norm_eps", 1e-6)?,
            gain_offset: Offset::Zero,
            norms_behind: false,
            head_norms: false,
            biases: Biases::default(),
            activation: Activation::Silu,
            embedding_scale: 1.0,
            attention_scale: Attend::causal(head_size).scale,
            attention_cap: None,
            logit_cap: None,
            tied: fields.flag("tie_word_embeddings", defaults.tied)?,
        };
        decoder.check().map_err(BaseError::Sizes)?;
        Ok(decoder)
    }

    /// Gives the layers of the kind `sliding_attention` a window: those that the field `layer_types` names, or those of which `slides` is true.
    ///
    /// # Errors
    /// If the field names another kind, or has too few layers.
    pub fn slide(&mut self, fields: &Fields, window: usize, slides: impl Fn(usize) -> bool) -> Result<(), BaseError> {
        let kind = |kind: &Json| match kind.as_str() {
            Some("sliding_attention") => Some(true),
            Some("full_attention") => Some(false),
            _ => None,
        };
        let said = fields.layers("layer_types", self.layers.len(), kind)?;
        for (index, layer) in self.layers.iter_mut().enumerate() {
            if said.as_ref().map_or_else(|| slides(index), |said| said[index]) {
                layer.window = Some(window);
            }
        }
        Ok(())
    }

    /// Checks that the sizes fit each other.
    ///
    /// # Errors
    /// A sentence that names the inconsistent sizes.
    pub fn check(&self) -> Result<(), String> {
        let Decoder { heads, kv_heads, head_size, .. } = *self;
        if !head_size.is_multiple_of(2) {
            Err(format!("heads of {head_size} columns cannot be rotated by halves; an even size is needed"))
        } else if !heads.is_multiple_of(kv_heads) {
            Err(format!("{kv_heads} key-value heads do not divide {heads} heads"))
        } else {
            Ok(())
        }
    }

    /// Input and output columns of a module, (I, O).
    fn shape(&self, module: &str) -> [usize; 2] {
        let (wide, narrow) = (self.heads * self.head_size, self.kv_heads * self.head_size);
        match module {
            "q_proj" => [self.width, wide],
            "k_proj" | "v_proj" => [self.width, narrow],
            "o_proj" => [wide, self.width],
            "down_proj" => [self.feed_forward, self.width],
            _ => [self.width, self.feed_forward],
        }
    }

    /// True if a module has a bias.
    fn has_bias(&self, module: &str) -> bool {
        match module {
            "q_proj" | "k_proj" | "v_proj" => self.biases.inputs,
            "o_proj" => self.biases.output,
            _ => self.biases.feed_forward,
        }
    }

    /// Names of a layer's norms of the whole width: before attention, behind it or before the feed-forward block, and so on.
    fn norms(&self) -> &'static [&'static str] {
        match self.norms_behind {
            false => &["input_layernorm", "post_attention_layernorm"],
            true => &[
                "input_layernorm",
                "post_attention_layernorm",
                "pre_feedforward_layernorm",
                "post_feedforward_layernorm",
            ],
        }
    }

    /// Records a layer's attention on x, normed, and its output projection.
    fn attention(&self, recorder: &mut Recorder<'_>, index: usize, x: Value) -> Value {
        let Layer { rotary, window } = self.layers[index];
        let [q, k, v] = ["q_proj", "k_proj", "v_proj"].map(|module| self.project(recorder, index, module, x));
        let [q, k] = [("q_norm", q), ("k_norm", k)].map(|(norm, x)| match self.head_norms {
            true => self.norm(recorder, &format!("model.layers.{index}.self_attn.{norm}"), self.head_size, x),
            false => x,
        });
        recorder.tape.label(format!("layers.{index}.self_attn"));
        let [q, k] = [q, k].map(|x| match rotary {
            Some(rotary) => recorder.tape.rope(x, self.head_size, &self.rotaries[rotary]),
            None => x,
        });
        let attend =
            Attend { window, cap: self.attention_cap, scale: self.attention_scale, ..Attend::causal(self.head_size) };
        let mixed = recorder.tape.attention(q, k, v, attend);
        self.project(recorder, index, "o_proj", mixed)
    }

    /// Records a layer's feed-forward block on x, normed.
    fn feed_forward(&self, recorder: &mut Recorder<'_>, index: usize, x: Value) -> Value {
        let [gate, up] = ["gate_proj", "up_proj"].map(|module| self.project(recorder, index, module, x));
        recorder.tape.label(format!("layers.{index}.mlp"));
        let active = match self.activation {
            Activation::Silu => recorder.tape.swiglu(gate, up),
            Activation::Gelu(form) => recorder.tape.geglu(gate, up, form),
        };
        self.project(recorder, index, "down_proj", active)
    }

    fn project(&self, recorder: &mut Recorder<'_>, index: usize, module: &str, x: Value) -> Value {
        recorder.linear(x, &module_name(index, module), self.shape(module), self.has_bias(module))
    }

    /// Records RMSNorm of each `width` columns with the gain of the module `name`.
    fn norm(&self, recorder: &mut Recorder<'_>, name: &str, width: usize, x: Value) -> Value {
        let weight = recorder.weight(&format!("{name}.weight"), [1, width], Group::Gain);
        recorder.label(name);
        recorder.tape.head_norm(x, Gain { weight, offset: self.gain_offset }, width, self.epsilon)
    }

    /// Records a layer on x.
    fn layer(&self, recorder: &mut Recorder<'_>, index: usize, mut x: Value) -> Value {
        let norm = |recorder: &mut Recorder<'_>, norm: &str, x: Value| {
            self.norm(recorder, &format!("model.layers.{index}.{norm}"), self.width, x)
        };
        let mut norms = self.norms().iter();
        let mut next = |recorder: &mut Recorder<'_>, x: Value| norms.next().map_or(x, |name| norm(recorder, name, x));
        for is_attention in [true, false] {
            let mut h = next(recorder, x);
            h = if is_attention { self.attention(recorder, index, h) } else { self.feed_forward(recorder, index, h) };
            if self.norms_behind {
                h = next(recorder, h);
            }
            x = recorder.tape.add(x, h);
        }
        x
    }
}

impl Network for Decoder {
    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn longest(&self) -> usize {
        self.longest
    }

    fn layers(&self) -> usize {
        self.layers.len()
    }

    fn position_columns(&self) -> usize {
        self.rotaries.iter().map(Rotary::rotated).sum()
    }

    fn linears(&self) -> Vec<Linear> {
        let of_layer = |layer| {
            MODULES.map(|module| {
                let [inputs, outputs] = self.shape(module);
                Linear { name: module_name(layer, module), inputs, outputs }
            })
        };
        (0..self.layers.len()).flat_map(of_layer).collect()
    }

    fn tensors(&self) -> Vec<(String, [usize; 2])> {
        let mut tensors = vec![("model.embed_tokens.weight".to_owned(), [self.vocabulary, self.width])];
        for layer in 0..self.layers.len() {
            let norm = |name: &str, width: usize| (format!("model.layers.{layer}.{name}.weight"), [1, width]);
            let (first, others) = self.norms().split_at(1);
            tensors.extend(first.iter().map(|name| norm(name, self.width)));
            for module in MODULES {
                let [inputs, outputs] = self.shape(module);
                let name = module_name(layer, module);
                tensors.push((format!("{name}.weight"), [outputs, inputs]));
                if self.has_bias(module) {
                    tensors.push((format!("{name}.bias"), [1, outputs]));
                }
            }
            if self.head_norms {
                tensors.extend(["self_attn.q_norm", "self_attn.k_norm"].map(|name| norm(name, self.head_size)));
            }
            tensors.extend(others.iter().map(|name| norm(name, self.width)));
        }
        tensors.push(("model.norm.weight".to_owned(), [1, self.width]));
        if !self.tied {
            tensors.push(("lm_head.weight".to_owned(), [self.vocabulary, self.width]));
        }
        tensors
    }

    fn aliases(&self, tensor: &str) -> Vec<String> {
        let Some(inner) = tensor.strip_prefix("model.") else { return vec![format!("language_model.{tensor}")] };
        // The names without the head, and as the text part of a model that also reads images, by an older and a newer transformers.
        vec![inner.to_owned(), format!("language_model.model.{inner}"), format!("model.language_model.{inner}")]
    }

    // Older files hold the rotary frequencies, some hold the tied embedding twice, and some a part that sees images.
    fn repeats(&self, tensor: &str) -> bool {
        const SIGHT: [&str; 4] =
            ["vision_tower.", "multi_modal_projector.", "model.vision_tower.", "model.multi_modal_projector."];
        tensor.ends_with("rotary_emb.inv_freq")
            || (self.tied && ["lm_head.weight", "language_model.lm_head.weight"].contains(&tensor))
            || SIGHT.iter().any(|part| tensor.starts_with(part))
    }

    fn record(&self, recorder: &mut Recorder<'_>) {
        let embedding = recorder.weight("model.embed_tokens.weight", [self.vocabulary, self.width], Group::Matrix);
        recorder.tape.label("embed_tokens");
        let mut x = recorder.tape.embedding_of(InputName::Tokens, embedding, self.width, self.embedding_scale);
        for index in 0..self.layers.len() {
            recorder.tape.layer();
            x = self.layer(recorder, index, x);
        }
        let x = self.norm(recorder, "model.norm", self.width, x);
        let head = match self.tied {
            true => embedding,
            false => recorder.weight("lm_head.weight", [self.vocabulary, self.width], Group::Matrix),
        };
        recorder.tape.label("lm_head");
        recorder.tape.head(x, head, self.vocabulary, self.logit_cap);
    }
}

/// The full name of a module, e.g. `model.layers.0.self_attn.q_proj`.
fn module_name(layer: usize, module: &str) -> String {
    let block = if matches!(module, "gate_proj" | "up_proj" | "down_proj") { "mlp" } else { "self_attn" };
    format!("model.layers.{layer}.{block}.{module}")
}
