//! GPT-2: LayerNorm, learned positions, one fused product for queries, keys and values, GELU, biases everywhere.
//!
//! Its checkpoints hold the matrices of its products transposed, (I, O), as the Conv1D of OpenAI's code had them; here they are (O, I) as everywhere. PEFT's
//! `fan_in_fan_out` tells of the same transposition; adapters have one layout with either.

use std::sync::Arc;

use super::{BaseError, Family, Fields, Linear, Network, Recorder, fields::Accepted};
use crate::graph::{
    memory::{Group, InputName, Value},
    ops::{Attend, gelu},
};

/// A layer's products, in the order of the forward pass.
const MODULES: [&str; 4] = ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"];

/// Config fields that change a model's computation, and the values of them that are supported.
const PLAIN: [Accepted; 2] = [("add_cross_attention", &["false"]), ("quantization_config", &[])];

pub(super) const FAMILY: Family = Family { types: &["gpt2"], read };

/// Sizes and choices of a GPT-2.
#[derive(Clone, Debug, PartialEq)]
struct Gpt2 {
    vocabulary: usize,
    width: usize,
    heads: usize,
    layers: usize,
    feed_forward: usize,
    /// Rows of the position table: no sequence can be longer.
    positions: usize,
    epsilon: f64,
    activation: gelu::Form,
    /// Attention's scores are divided by √D, and in some models by the layer's number, too.
    scale_by_size: bool,
    scale_by_layer: bool,
    tied: bool,
}

/// Reads a config as transformers' `configuration_gpt2.py` does.
fn read(fields: &Fields) -> Result<Arc<dyn Network>, BaseError> {
    fields.plain(&PLAIN)?;
    let (width, heads) = (fields.size("n_embd", Some(768))?, fields.size("n_head", Some(12))?);
    if !width.is_multiple_of(heads) {
        return Err(BaseError::Sizes(format!("width {width} does not split into {heads} heads")));
    }
    Ok(Arc::new(Gpt2 {
        vocabulary: fields.size("vocab_size", Some(50_257))?,
        width,
        heads,
        layers: fields.size("n_layer", Some(12))?,
        feed_forward: fields.size("n_inner", Some(4 * width))?,
        positions: fields.size("n_positions", Some(1024))?,
        epsilon: fields.number("layer_norm_epsilon", 1e-5)?,
        activation: fields.gelu("activation_function", "gelu_new")?,
        scale_by_size: fields.flag("scale_attn_weights", true)?,
        scale_by_layer: fields.flag("scale_attn_by_inverse_layer_idx", false)?,
        tied: fields.flag("tie_word_embeddings", true)?,
    }))
}

impl Gpt2 {
    /// Input and output columns of a module, (I, O).
    fn shape(&self, module: &str) -> [usize; 2] {
        match module {
            "attn.c_attn" => [self.width, 3 * self.width],
            "mlp.c_fc" => [self.width, self.feed_forward],
            "mlp.c_proj" => [self.feed_forward, self.width],
            _ => [self.width, self.width],
        }
    }

    fn project(&self, recorder: &mut Recorder<'_>, layer: usize, module: &str, x: Value) -> Value {
        recorder.linear(x, &format!("transformer.h.{layer}.{module}"), self.shape(module), true)
    }

    /// The factor of attention's scores in a layer.
    fn scale(&self, layer: usize) -> f64 {
        let by_size = if self.scale_by_size { ((self.width / self.heads) as f64).sqrt().recip() } else { 1.0 };
        if self.scale_by_layer { by_size / (layer + 1) as f64 } else { by_size }
    }
}

impl Network for Gpt2 {
    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn longest(&self) -> usize {
        self.positions
    }

    fn has_position_table(&self) -> bool {
        true
    }

    fn layers(&self) -> usize {
        self.layers
    }

    fn position_columns(&self) -> usize {
        0
    }

    fn linears(&self) -> Vec<Linear> {
        let of_layer = |layer| {
            MODULES.map(|module| {
                let [inputs, outputs] = self.shape(module);
                Linear { name: format!("transformer.h.{layer}.{module}"), inputs, outputs }
            })
        };
        (0..self.layers).flat_map(of_layer).collect()
    }

    fn tensors(&self) -> Vec<(String, [usize; 2])> {
        let both = |name: String, shape: [usize; 2]| {
            [(format!("{name}.weight"), shape), (format!("{name}.bias"), [1, shape[0]])]
        };
        let norm = |name: String| ["weight", "bias"].map(|part| (format!("{name}.{part}"), [1, self.width]));
        let mut tensors = vec![
            ("transformer.wte.weight".to_owned(), [self.vocabulary, self.width]),
            ("transformer.wpe.weight".to_owned(), [self.positions, self.width]),
        ];
        for layer in 0..self.layers {
            for (index, module) in MODULES.into_iter().enumerate() {
                if index % 2 == 0 {
                    tensors.extend(norm(format!("transformer.h.{layer}.ln_{}", index / 2 + 1)));
                }
                let [inputs, outputs] = self.shape(module);
                tensors.extend(both(format!("transformer.h.{layer}.{module}"), [outputs, inputs]));
            }
        }
        tensors.extend(norm("transformer.ln_f".to_owned()));
        if !self.tied {
            tensors.push(("lm_head.weight".to_owned(), [self.vocabulary, self.width]));
        }
        tensors
    }

    fn aliases(&self, tensor: &str) -> Vec<String> {
        tensor.strip_prefix("transformer.").map(str::to_owned).into_iter().collect()
    }

    fn is_transposed(&self, tensor: &str) -> bool {
        MODULES.iter().any(|module| tensor.strip_suffix(".weight").is_some_and(|name| name.ends_with(module)))
    }

    // Older files hold the causal mask, and some hold the tied embedding twice.
    fn repeats(&self, tensor: &str) -> bool {
        let mask = [".attn.bias", ".attn.masked_bias"].iter().any(|end| tensor.ends_with(end));
        mask || (self.tied && tensor == "lm_head.weight")
    }

    fn record(&self, recorder: &mut Recorder<'_>) {
        let words = recorder.weight("transformer.wte.weight", [self.vocabulary, self.width], Group::Matrix);
        let positions = recorder.weight("transformer.wpe.weight", [self.positions, self.width], Group::Matrix);
        recorder.tape.label("wte");
        let tokens = recorder.tape.embedding(words, self.width);
        recorder.tape.label("wpe");
        let places = recorder.tape.embedding_of(InputName::Positions, positions, self.width, 1.0);
        let mut x = recorder.tape.add(tokens, places);
        for layer in 0..self.layers {
            recorder.tape.layer();
            let name = format!("transformer.h.{layer}");
            let h = recorder.layer_norm(x, &format!("{name}.ln_1"), self.width, self.epsilon);
            let attend = Attend { scale: self.scale(layer), ..Attend::causal(self.width / self.heads) };
            let fused = self.project(recorder, layer, "attn.c_attn", h);
            recorder.tape.label(format!("h.{layer}.attn"));
            let parts = recorder.tape.split(fused, 3);
            let mixed = recorder.tape.attention(parts[0], parts[1], parts[2], attend);
            let out = self.project(recorder, layer, "attn.c_proj", mixed);
            x = recorder.tape.add(x, out);
            let h = recorder.layer_norm(x, &format!("{name}.ln_2"), self.width, self.epsilon);
            let h = self.project(recorder, layer, "mlp.c_fc", h);
            recorder.tape.label(format!("h.{layer}.mlp"));
            let h = recorder.tape.gelu(h, self.activation);
            let out = self.project(recorder, layer, "mlp.c_proj", h);
            x = recorder.tape.add(x, out);
        }
        let x = recorder.layer_norm(x, "transformer.ln_f", self.width, self.epsilon);
        let head = match self.tied {
            true => words,
            false => recorder.weight("lm_head.weight", [self.vocabulary, self.width], Group::Matrix),
        };
        recorder.tape.label("lm_head");
        recorder.tape.head(x, head, self.vocabulary, None);
    }
}

#[cfg(test)]
mod tests {
    use crate::models::{BaseError, Model};

    #[test]
    fn products_are_stored_transposed_and_an_older_files_masks_are_skipped() {
        let model = Model::from_json(r#"{"model_type":"gpt2","n_embd":8,"n_head":2,"n_layer":1,"vocab_size":10}"#);
        let model = model.expect("a config");
        let transposed: Vec<String> =
            model.tensors().into_iter().map(|(name, _)| name).filter(|name| model.is_transposed(name)).collect();
        assert_eq!(transposed.len(), 4, "{transposed:?}");
        assert!(model.repeats("transformer.h.0.attn.bias") && model.repeats("h.0.attn.masked_bias"));
        assert!(!model.repeats("transformer.h.0.attn.c_attn.bias"));
        assert_eq!(model.targets(), ["c_attn", "c_proj", "c_fc"]);
    }

    #[test]
    fn what_would_change_results_is_refused() {
        for more in [r#""add_cross_attention":true"#, r#""activation_function":"relu""#] {
            let said = format!(r#"{{"model_type":"gpt2",{more}}}"#);
            assert!(matches!(Model::from_json(&said), Err(BaseError::Unlike { .. })), "{said}");
        }
        assert!(Model::from_json(r#"{"model_type":"gpt2","n_head":5}"#).is_err());
    }
}
