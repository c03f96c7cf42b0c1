//! Gemma 2 and 3 (text): decoders of the Llama kind with a norm on both sides of every block, gains stored as their difference from 1, a scaled embedding,
//! GELU, and layers that see a window only.

use std::sync::Arc;

use serde_json::Value as Json;

use super::{
    BaseError, Family, Fields, Network,
    decoder::{Activation, Biases, Decoder, Defaults},
    fields::Accepted,
    rotary::RotaryConfig,
};
use crate::graph::ops::Offset;

/// Config fields that change a model's computation, and the values of them that are supported.
const PLAIN: [Accepted; 2] = [("use_bidirectional_attention", &["false"]), ("quantization_config", &[])];

pub(super) const FAMILY: Family = Family { types: &["gemma2", "gemma3_text", "gemma3"], read };

/// Reads a config as transformers' `configuration_gemma2.py` and `configuration_gemma3.py` do. Of a Gemma 3 that also sees images, the text model is read.
fn read(fields: &Fields) -> Result<Arc<dyn Network>, BaseError> {
    let text = match fields.value("text_config") {
        Some(Json::Object(said)) => Some(Fields { said: said.clone() }),
        _ => None,
    };
    let second = fields.text("model_type") == Some("gemma2");
    let fields = text.as_ref().unwrap_or(fields);
    fields.plain(&PLAIN)?;
    let plain = Defaults {
        vocabulary: Some(if second { 256_000 } else { 262_208 }),
        heads: Some(8),
        kv_heads: Some(4),
        head_size: Some(256),
        longest: if second { 8192 } else { 131_072 },
        theta: if second { 1e4 } else { 1e6 },
        tied: true,
    };
    let mut decoder = Decoder::read(fields, &plain)?;
    let rotary = |config: RotaryConfig| config.rotary(decoder.head_size).map_err(BaseError::Sizes);
    decoder.rotaries = match second {
        true => vec![rotary(RotaryConfig::read(&fields.said, Some(plain.theta))?)?],
        false => vec![
            rotary(RotaryConfig::read_layers(&fields.said, "full_attention", plain.theta)?)?,
            rotary(RotaryConfig::read_layers(&fields.said, "sliding_attention", 1e4)?)?,
        ],
    };
    decoder.activation = Activation::read(fields, "hidden_activation", "gelu_pytorch_tanh")?;
    let bias = fields.flag("attention_bias", false)?;
    decoder.biases = Biases { inputs: bias, output: bias, feed_forward: false };
    decoder.gain_offset = Offset::One;
    decoder.norms_behind = true;
    decoder.head_norms = !second;
    decoder.embedding_scale = (decoder.width as f64).sqrt();
    decoder.attention_scale = fields.number("query_pre_attn_scalar", 256.0)?.sqrt().recip();
    let caps = if second { [Some(50.0), Some(30.0)] } else { [None, None] };
    decoder.attention_cap = fields.nullable("attn_logit_softcapping", caps[0])?;
    decoder.logit_cap = fields.nullable("final_logit_softcapping", caps[1])?;
    if !second && let Some(cap) = decoder.attention_cap {
        // transformers reads the field and does nothing with it, so nobody can say what such a model was trained to compute.
        return Err(BaseError::Unlike { key: "attn_logit_softcapping", found: cap.to_string() });
    }
    let window = fields.size("sliding_window", Some(4096))?;
    let pattern = if second { 2 } else { fields.size("sliding_window_pattern", Some(6))? };
    decoder.slide(fields, window, |layer| !(layer + 1).is_multiple_of(pattern))?;
    if !second {
        // Layers with a window have rotary wavelengths of their own.
        decoder.layers.iter_mut().for_each(|layer| layer.rotary = Some(usize::from(layer.window.is_some())));
    }
    Ok(Arc::new(decoder))
}

#[cfg(test)]
mod tests {
    use crate::models::{BaseError, Model};

    fn read(said: &str) -> Result<Model, BaseError> {
        Model::from_json(said)
    }

    #[test]
    fn the_text_part_of_a_model_that_sees_is_read_with_transformers_defaults() {
        // As Gemma 3 4B has it.
        let said = r#"{"model_type":"gemma3","text_config":{"hidden_size":2560,"intermediate_size":10240,"model_type":"gemma3_text",
            "num_hidden_layers":34,"rope_scaling":{"factor":8.0,"rope_type":"linear"},"sliding_window":1024},
            "vision_config":{"hidden_size":1152}}"#;
        let model = read(said).expect("a config");
        assert_eq!((model.vocabulary(), model.layers()), (262_208, 34));
        let debug = format!("{:?}", model.network);
        assert_eq!(debug.matches("window: Some(1024)").count(), 29, "all but every sixth layer");
        assert!(debug.contains("embedding_scale: 50.596"), "{debug}");
        let q = model.linears().into_iter().find(|linear| linear.name.ends_with("q_proj")).expect("queries");
        assert_eq!((q.inputs, q.outputs), (2560, 2048));
    }

    #[test]
    fn what_would_change_results_is_refused() {
        const SIZES: &str = r#""hidden_size":8,"intermediate_size":16,"num_hidden_layers":2"#;
        for (kind, more) in [
            ("gemma3_text", r#""use_bidirectional_attention":true"#),
            ("gemma3_text", r#""attn_logit_softcapping":50.0"#),
            ("gemma2", r#""hidden_activation":"relu""#),
            ("gemma2", r#""quantization_config":{"bits":4}"#),
        ] {
            let said = format!(r#"{{"model_type":"{kind}",{more},{SIZES}}}"#);
            assert!(matches!(read(&said), Err(BaseError::Unlike { .. })), "{said}");
        }
        let plain = format!(r#"{{"model_type":"gemma2","final_logit_softcapping":null,{SIZES}}}"#);
        let debug = format!("{:?}", read(&plain).expect("a config").network);
        assert!(debug.contains("attention_cap: Some(50.0), logit_cap: None"), "{debug}");
    }
}
