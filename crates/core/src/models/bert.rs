//! BERT: learned positions, types of tokens, a pooler between the first token's row and the classifier.

use std::sync::Arc;

use super::{
    BaseError, Family, Fields, Network,
    encoder::{Defaults, Encoder, Head},
};

pub(super) const FAMILY: Family = Family { types: &["bert"], read };

/// Reads a config as transformers' `configuration_bert.py` does.
fn read(fields: &Fields) -> Result<Arc<dyn Network>, BaseError> {
    let defaults = Defaults { name: "bert", vocabulary: 30_522, head: Head::Pooled, first_position: 0 };
    Ok(Arc::new(Encoder::read(fields, defaults)?))
}

#[cfg(test)]
mod tests {
    use crate::models::{BaseError, Model, Output};

    const SIZES: &str = r#""model_type":"bert","vocab_size":9,"hidden_size":4,"num_hidden_layers":1,"num_attention_heads":2,"intermediate_size":6"#;

    fn model(more: &str) -> Result<Model, BaseError> {
        Model::from_json(&format!("{{{SIZES}{more}}}"))
    }

    #[test]
    fn the_config_says_the_classes() {
        let output = |more: &str| model(more).map(|model| model.output());
        assert_eq!(output("").expect("two"), Output::Classes(2));
        assert_eq!(output(r#","num_labels":5"#).expect("five"), Output::Classes(5));
        assert_eq!(output(r#","num_labels":1,"problem_type":"regression""#).expect("a score"), Output::Score);
        let named = model(r#","id2label":{"1":"good","0":"bad","2":"neither"}"#).expect("three");
        assert_eq!(
            (named.output(), named.labels()),
            (Output::Classes(3), &["bad", "good", "neither"].map(str::to_owned)[..])
        );
        for wrong in [
            r#","id2label":{"1":"good","2":"bad"}"#,
            r#","id2label":{}"#,
            r#","num_labels":3,"id2label":{"0":"bad","1":"good"}"#,
            r#","problem_type":"multi_label_classification""#,
            r#","problem_type":"regression""#,
        ] {
            assert!(output(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_head_is_no_tensor_of_the_base() {
        let model = model("").expect("a config");
        assert_eq!(
            model.head().iter().map(|(name, _)| &name[..]).collect::<Vec<_>>(),
            ["classifier.weight", "classifier.bias"]
        );
        assert!(model.tensors().iter().all(|(name, _)| name.starts_with("bert.")));
        assert_eq!(model.targets(), ["query", "key", "value", "dense"]);
        assert_eq!(model.linears().last().map(|last| &last.name[..]), Some("bert.pooler.dense"));
        let aliases = model.aliases("bert.embeddings.LayerNorm.weight");
        assert_eq!(
            aliases,
            ["embeddings.LayerNorm.weight", "bert.embeddings.LayerNorm.gamma", "embeddings.LayerNorm.gamma"]
        );
        assert!(model.repeats("bert.embeddings.position_ids") && model.repeats("cls.predictions.bias"));
        assert!(!model.repeats("bert.pooler.dense.weight"));
    }

    #[test]
    fn what_would_change_results_is_refused() {
        for more in [r#","position_embedding_type":"relative_key""#, r#","is_decoder":true"#, r#","hidden_act":"relu""#]
        {
            assert!(matches!(model(more), Err(BaseError::Unlike { .. })), "{more}");
        }
        assert!(model(r#","num_attention_heads":3"#).is_err());
    }
}
