//! Fields of a `config.json`: sizes, numbers and flags by name. A field that is missing or `null` has transformers' default for its family.

use serde_json::{Map, Value as Json};

use super::BaseError;
use crate::graph::ops::gelu::Form;

/// The largest size of a model that is read, in any dimension, so that no product of three overflows.
const LARGEST: u64 = 1 << 20;

/// A field of a config, and the values of it that are supported, as JSON.
pub(super) type Accepted = (&'static str, &'static [&'static str]);

/// The fields of a config.
#[derive(Debug)]
pub(super) struct Fields {
    /// All fields, as parsed.
    pub said: Map<String, Json>,
}

impl Fields {
    /// The value of a field; `None` if it is missing or `null`.
    pub fn value(&self, key: &str) -> Option<&Json> {
        self.said.get(key).filter(|value| !value.is_null())
    }

    /// A size: a whole number, at least 1. Without a default, the field is required.
    ///
    /// # Errors
    /// If it is missing, no whole number, 0 or absurdly large.
    pub fn size(&self, key: &'static str, default: Option<usize>) -> Result<usize, BaseError> {
        let needed = "a whole number from 1 to 1048576";
        match (self.value(key), default) {
            (None, Some(default)) => Ok(default),
            (None, None) => Err(BaseError::Field { key, found: "nothing".to_owned(), needed }),
            (Some(value), _) => match value.as_u64() {
                Some(size @ 1..=LARGEST) => Ok(size as usize),
                _ => Err(BaseError::Field { key, found: value.to_string(), needed }),
            },
        }
    }

    /// A size, if the field has a value.
    ///
    /// # Errors
    /// As [`Fields::size`].
    pub fn some_size(&self, key: &'static str) -> Result<Option<usize>, BaseError> {
        self.value(key).map(|_| self.size(key, None)).transpose()
    }

    /// A whole number, which may be 0.
    ///
    /// # Errors
    /// If it is no whole number, or absurdly large.
    pub fn count(&self, key: &'static str, default: usize) -> Result<usize, BaseError> {
        match self.value(key) {
            Some(value) if value.as_u64() == Some(0) => Ok(0),
            _ => self.size(key, Some(default)),
        }
    }

    /// A text; `None` if the field is missing or no text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.value(key).and_then(Json::as_str)
    }

    /// A number above 0.
    ///
    /// # Errors
    /// If it is no number above 0.
    pub fn number(&self, key: &'static str, default: f64) -> Result<f64, BaseError> {
        let Some(value) = self.value(key) else { return Ok(default) };
        match value.as_f64() {
            Some(number) if number > 0.0 && number.is_finite() => Ok(number),
            _ => Err(BaseError::Field { key, found: value.to_string(), needed: "a number above 0" }),
        }
    }

    /// A number above 0, or none if the field is `null`; the default is for a field that is missing.
    ///
    /// # Errors
    /// As [`Fields::number`].
    pub fn nullable(&self, key: &'static str, default: Option<f64>) -> Result<Option<f64>, BaseError> {
        match self.said.get(key) {
            None => Ok(default),
            Some(Json::Null) => Ok(None),
            Some(_) => self.number(key, 1.0).map(Some),
        }
    }

    /// The form of GELU that an activation is.
    ///
    /// # Errors
    /// If it is another function.
    pub fn gelu(&self, key: &'static str, default: &str) -> Result<Form, BaseError> {
        match self.text(key).unwrap_or(default) {
            "gelu" => Ok(Form::Erf),
            // transformers has these names for one function.
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" | "gelu_accurate" => Ok(Form::Tanh),
            other => Err(BaseError::Unlike { key, found: format!("{other:?}") }),
        }
    }

    /// A flag.
    ///
    /// # Errors
    /// If it is neither true nor false.
    pub fn flag(&self, key: &'static str, default: bool) -> Result<bool, BaseError> {
        let Some(value) = self.value(key) else { return Ok(default) };
        value.as_bool().ok_or_else(|| BaseError::Field { key, found: value.to_string(), needed: "true or false" })
    }

    /// One text for each of so many layers, if the field has them.
    ///
    /// # Errors
    /// If it is no list of texts, or of another length.
    pub fn layers<T>(
        &self,
        key: &'static str,
        layers: usize,
        read: impl Fn(&Json) -> Option<T>,
    ) -> Result<Option<Vec<T>>, BaseError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let list = value.as_array().filter(|list| list.len() >= layers);
        let list: Option<Vec<T>> = list.and_then(|list| list.iter().take(layers).map(read).collect());
        let needed = "a list with a known value for each layer";
        list.map(Some).ok_or_else(|| BaseError::Field { key, found: value.to_string(), needed })
    }

    /// Refuses values that would compute something else.
    ///
    /// # Errors
    /// The first field of `accepted` whose value is none of those listed.
    pub fn plain(&self, accepted: &[Accepted]) -> Result<(), BaseError> {
        for &(key, values) in accepted {
            if let Some(value) = self.value(key)
                && !values.contains(&value.to_string().as_str())
            {
                return Err(BaseError::Unlike { key, found: value.to_string() });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Fields {
        Fields { said: serde_json::from_str(text).expect("an object") }
    }

    #[test]
    fn a_missing_field_has_its_default_and_a_wrong_one_is_named() {
        let fields = fields(r#"{"a": 3, "b": null, "zero": 0, "wide": 1e30, "minus": -2, "text": "x", "on": true}"#);
        assert_eq!(fields.size("a", None).expect("a size"), 3);
        assert_eq!(fields.size("b", Some(5)).expect("the default"), 5);
        assert_eq!(fields.some_size("b").expect("none"), None);
        assert!(fields.flag("on", false).expect("a flag") && !fields.flag("off", false).expect("the default"));
        for key in ["b", "zero", "wide", "minus", "text"] {
            let sentence = fields.size(key, None).expect_err("no size").to_string();
            assert!(sentence.contains(&format!("\"{key}\"")), "{sentence}");
        }
        assert_eq!(fields.count("zero", 7).expect("a count"), 0);
        assert_eq!(fields.nullable("b", Some(3.0)).expect("null"), None);
        assert_eq!(fields.nullable("none", Some(3.0)).expect("the default"), Some(3.0));
        assert_eq!(fields.gelu("none", "gelu_new").expect("a GELU"), Form::Tanh);
        assert!(fields.gelu("text", "gelu").is_err());
        assert!(fields.number("minus", 1.0).is_err() && fields.number("text", 1.0).is_err());
        assert!(fields.flag("a", true).is_err());
    }

    #[test]
    fn lists_have_a_value_for_each_layer() {
        let fields = fields(r#"{"types": ["x", "y"], "number": 3}"#);
        let text = |value: &Json| value.as_str().map(str::to_owned);
        assert_eq!(fields.layers("types", 2, text).expect("a list").expect("two").len(), 2);
        assert!(fields.layers("types", 3, text).is_err() && fields.layers("number", 1, text).is_err());
        assert_eq!(fields.layers("none", 3, text).expect("no list"), None);
    }
}
