//! Qwen 2, 2.5 and 3: decoders of the Llama kind. The former have biases of queries, keys and values; the latter norm every head of queries and keys.

use std::sync::Arc;

use super::{
    BaseError, Family, Fields, Network,
    decoder::{Activation, Biases, Decoder, Defaults},
    fields::Accepted,
    rotary::RotaryConfig,
};

/// Config fields that change a model's computation, and the values of them that are supported.
const PLAIN: [Accepted; 1] = [("quantization_config", &[])];

pub(super) const FAMILY: Family = Family { types: &["qwen2", "qwen3"], read };

/// Reads a config as transformers' `configuration_qwen2.py` and `configuration_qwen3.py` do.
fn read(fields: &Fields) -> Result<Arc<dyn Network>, BaseError> {
    fields.plain(&PLAIN)?;
    let third = fields.text("model_type") == Some("qwen3");
    let head_size = third.then_some(128);
    let defaults = Defaults { kv_heads: Some(32), head_size, longest: 32_768, theta: 1e4, ..Defaults::default() };
    let mut decoder = Decoder::read(fields, &defaults)?;
    let rotary = RotaryConfig::read(&fields.said, Some(defaults.theta))?;
    decoder.rotaries = vec![rotary.rotary(decoder.head_size).map_err(BaseError::Sizes)?];
    decoder.activation = Activation::read(fields, "hidden_act", "silu")?;
    if third {
        let bias = fields.flag("attention_bias", false)?;
        decoder.biases = Biases { inputs: bias, output: bias, feed_forward: false };
        decoder.head_norms = true;
    } else {
        decoder.biases = Biases { inputs: true, output: false, feed_forward: false };
    }
    if fields.flag("use_sliding_window", false)? {
        let window = fields.size("sliding_window", Some(4096))?;
        let first = fields.count("max_window_layers", 28)?;
        decoder.slide(fields, window, |layer| layer >= first)?;
    }
    Ok(Arc::new(decoder))
}

#[cfg(test)]
mod tests {
    use crate::models::Model;

    const CONFIG: &str = r#""vocab_size":32,"hidden_size":8,"num_hidden_layers":3,"num_attention_heads":2,"num_key_value_heads":1,
        "intermediate_size":16}"#;

    fn debug(start: &str) -> String {
        format!("{:?}", Model::from_json(&format!("{{{start},{CONFIG}")).expect("a config").network)
    }

    #[test]
    fn windows_begin_at_the_layer_that_the_config_says() {
        let windows = |said: &str| debug(said).matches("window: Some(7)").count();
        let slides = r#""model_type":"qwen2","sliding_window":7,"use_sliding_window":true"#;
        assert_eq!(windows(&format!("{slides},\"max_window_layers\":1")), 2);
        assert_eq!(windows(&format!("{slides},\"max_window_layers\":0")), 3);
        assert_eq!(windows(slides), 0);
        let types = r#""layer_types":["sliding_attention","full_attention","full_attention"]"#;
        assert_eq!(windows(&format!("{slides},{types}")), 1);
        assert_eq!(windows(r#""model_type":"qwen2","sliding_window":7"#), 0);
        let other = format!(r#"{{"layer_types":["a","b","c"],{slides},{CONFIG}"#);
        assert!(Model::from_json(&other).is_err());
    }

    #[test]
    fn the_second_has_biases_and_the_third_norms_of_heads() {
        let names = |said: &str| -> Vec<String> {
            let model = Model::from_json(&format!("{{{said},{CONFIG}")).expect("a config");
            model.tensors().into_iter().map(|(name, _)| name).collect()
        };
        let has = |names: &[String], end: &str| names.iter().any(|name| name.ends_with(end));
        let (second, third) = (names(r#""model_type":"qwen2""#), names(r#""model_type":"qwen3""#));
        assert!(has(&second, "k_proj.bias") && !has(&second, "o_proj.bias") && !has(&second, "q_norm.weight"));
        assert!(!has(&third, ".bias") && has(&third, "q_norm.weight") && has(&third, "k_norm.weight"));
        assert!(debug(r#""model_type":"qwen3""#).contains("head_size: 128"));
    }
}
