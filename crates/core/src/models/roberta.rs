//! RoBERTa and XLM-RoBERTa: positions begin behind the number of the padding token, and the classifier has a layer of its own.

use std::sync::Arc;

use super::{
    BaseError, Family, Fields, Network,
    encoder::{Defaults, Encoder, Head},
};

pub(super) const FAMILY: Family = Family { types: &["roberta", "xlm-roberta"], read };

/// Reads a config as transformers' `configuration_roberta.py` and `configuration_xlm_roberta.py` do.
///
/// The first token has the row `pad_token_id` + 1 of the position table (`modeling_roberta.py`, `create_position_ids_from_input_ids`).
fn read(fields: &Fields) -> Result<Arc<dyn Network>, BaseError> {
    let vocabulary = if fields.text("model_type") == Some("roberta") { 50_265 } else { 30_522 };
    let first_position = fields.count("pad_token_id", 1)? + 1;
    let defaults = Defaults { name: "roberta", vocabulary, head: Head::Dense, first_position };
    Ok(Arc::new(Encoder::read(fields, defaults)?))
}

#[cfg(test)]
mod tests {
    use crate::models::Model;

    fn model(more: &str) -> Result<Model, String> {
        let sizes = r#""model_type":"roberta","vocab_size":9,"hidden_size":4,"num_hidden_layers":1,"num_attention_heads":2,"intermediate_size":6"#;
        Model::from_json(&format!("{{{sizes}{more}}}")).map_err(|error| error.to_string())
    }

    #[test]
    fn the_first_positions_are_no_tokens() {
        assert_eq!(model(r#","max_position_embeddings":514"#).expect("a config").longest(), 512);
        assert_eq!(model(r#","max_position_embeddings":8,"pad_token_id":0"#).expect("a config").longest(), 7);
        assert!(model(r#","max_position_embeddings":2"#).expect_err("none left").contains("none left"));
    }

    #[test]
    fn the_whole_classifier_is_the_head() {
        let model = model("").expect("a config");
        let names: Vec<String> = model.head().into_iter().map(|(name, _)| name).collect();
        let parts = ["dense.weight", "dense.bias", "out_proj.weight", "out_proj.bias"];
        assert_eq!(names, parts.map(|part| format!("classifier.{part}")));
        assert!(model.repeats("roberta.pooler.dense.weight") && model.repeats("lm_head.bias"));
        assert_eq!(model.linears().len(), 6);
    }
}
