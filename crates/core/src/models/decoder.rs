//! A decoder of the Llama kind: layers of attention and of a gated feed-forward block, each between a norm and a residual connection.
//!
//! Llama, Mistral, SmolLM, Qwen and Gemma differ in what a [`Decoder`] says; it has the tensors' names and records the forward pass for all of them, after
//! transformers' `modeling_llama.py` and its siblings.

use super::{BaseError, Fields, Linear, Network, Recorder};
use crate::graph::{
    memory::{Group, Value, Weight},
    ops::{Attend, Rotary},
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
    /// Base of the rotary wavelengths.
    pub theta: f64,
    /// ε of the norms.
    pub epsilon: f64,
    /// True if the embedding is also the output matrix that gives the logits.
    pub tied: bool,
}

/// One layer's choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    /// True if queries and keys are rotated by position.
    pub rotary: bool,
}

/// Values that transformers has for missing fields.
pub(super) struct Defaults {
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
    /// Reads what all families have: sizes, ε, rotary wavelengths, tied matrices. Every layer is plain.
    ///
    /// # Errors
    /// If a size is missing or no size, or they do not fit each other.
    pub fn read(fields: &Fields, defaults: &Defaults) -> Result<Decoder, BaseError> {
        let (width, heads) = (fields.size("hidden_size", None)?, fields.size("num_attention_heads", None)?);
        let head_size = match fields.some_size("head_dim")?.or(defaults.head_size) {
            Some(size) => size,
            None if width.is_multiple_of(heads) => width / heads,
            None => return Err(BaseError::Sizes(format!("width {width} does not split into {heads} heads"))),
        };
        let layers = fields.size("num_hidden_layers", None)?;
        let decoder = Decoder {
            vocabulary: fields.size("vocab_size", None)?,
            width,
            heads,
            kv_heads: fields.size("num_key_value_heads", defaults.kv_heads.or(Some(heads)))?,
            head_size,
            feed_forward: fields.size("intermediate_size", None)?,
            longest: fields.size("max_position_embeddings", Some(defaults.longest))?,
            layers: vec![Layer { rotary: true }; layers],
            theta: fields.number("rope_theta", defaults.theta)?,
            epsilon: fields.number("rms_norm_eps", 1e-6)?,
            tied: fields.flag("tie_word_embeddings", defaults.tied)?,
        };
        decoder.check().map_err(BaseError::Sizes)?;
        Ok(decoder)
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

    /// Records a layer's attention on x, normed, and its output projection.
    fn attention(&self, recorder: &mut Recorder<'_>, index: usize, x: Value, rotary: &Rotary) -> Value {
        let [q, k, v] = ["q_proj", "k_proj", "v_proj"].map(|module| self.project(recorder, index, module, x));
        recorder.tape.label(format!("layers.{index}.self_attn"));
        let mut rotate = |x| {
            if self.layers[index].rotary { recorder.tape.rope(x, self.head_size, rotary) } else { x }
        };
        let (q, k) = (rotate(q), rotate(k));
        let mixed = recorder.tape.attention(q, k, v, Attend::causal(self.head_size));
        self.project(recorder, index, "o_proj", mixed)
    }

    /// Records a layer's feed-forward block on x, normed.
    fn feed_forward(&self, recorder: &mut Recorder<'_>, index: usize, x: Value) -> Value {
        let [gate, up] = ["gate_proj", "up_proj"].map(|module| self.project(recorder, index, module, x));
        recorder.tape.label(format!("layers.{index}.mlp"));
        let active = recorder.tape.swiglu(gate, up);
        self.project(recorder, index, "down_proj", active)
    }

    fn project(&self, recorder: &mut Recorder<'_>, index: usize, module: &str, x: Value) -> Value {
        recorder.linear(x, &module_name(index, module), self.shape(module))
    }

    /// Records RMSNorm with the gain of the module `name`.
    fn norm(&self, recorder: &mut Recorder<'_>, name: &str, x: Value) -> Value {
        let weight = recorder.weight(&format!("{name}.weight"), [1, self.width], Group::Gain);
        recorder.tape.label(name.trim_start_matches("model."));
        recorder.tape.rms_norm(x, weight, self.epsilon)
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
        self.head_size
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
            tensors.push((format!("model.layers.{layer}.input_layernorm.weight"), [1, self.width]));
            for module in MODULES {
                let [inputs, outputs] = self.shape(module);
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

    fn aliases(&self, tensor: &str) -> Vec<String> {
        tensor.strip_prefix("model.").map(str::to_owned).into_iter().collect()
    }

    // Older files hold the rotary frequencies, and some hold the tied embedding twice.
    fn repeats(&self, tensor: &str) -> bool {
        tensor.ends_with("rotary_emb.inv_freq") || (self.tied && tensor == "lm_head.weight")
    }

    fn record(&self, recorder: &mut Recorder<'_>) {
        let rotary = Rotary::plain(self.theta, self.head_size);
        let embedding = recorder.weight("model.embed_tokens.weight", [self.vocabulary, self.width], Group::Matrix);
        recorder.tape.label("embed_tokens");
        let mut x = recorder.tape.embedding(embedding, self.width);
        for layer in 0..self.layers.len() {
            recorder.tape.layer();
            let h = self.norm(recorder, &format!("model.layers.{layer}.input_layernorm"), x);
            let out = self.attention(recorder, layer, h, &rotary);
            x = recorder.tape.add(x, out);
            let h = self.norm(recorder, &format!("model.layers.{layer}.post_attention_layernorm"), x);
            let out = self.feed_forward(recorder, layer, h);
            x = recorder.tape.add(x, out);
        }
        let x = self.norm(recorder, "model.norm", x);
        let head: Weight = if self.tied {
            embedding
        } else {
            recorder.weight("lm_head.weight", [self.vocabulary, self.width], Group::Matrix)
        };
        recorder.tape.label("lm_head");
        recorder.tape.head(x, head, self.vocabulary);
    }
}

/// The full name of a module, e.g. `model.layers.0.self_attn.q_proj`.
fn module_name(layer: usize, module: &str) -> String {
    let block = if matches!(module, "gate_proj" | "up_proj" | "down_proj") { "mlp" } else { "self_attn" };
    format!("model.layers.{layer}.{block}.{module}")
}
