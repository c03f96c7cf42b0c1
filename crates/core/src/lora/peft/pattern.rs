//! PEFT's `rank_pattern` and `alpha_pattern`: regular expressions for modules' names, each with a number.

use regex_lite::Regex;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::AdapterError;
use crate::models::pattern_name;

/// The values that patterns assign to modules, in the order of the file.
#[derive(Default)]
pub(super) struct Pattern<T>(Vec<(Regex, T)>);

impl<T: DeserializeOwned + Copy> Pattern<T> {
    /// Reads the setting `key`.
    ///
    /// # Errors
    /// If it isn't an object of numbers, or a name is not a supported regular expression.
    pub fn parse(key: &'static str, setting: &Value) -> Result<Pattern<T>, AdapterError> {
        let entries = match setting {
            Value::Null => return Ok(Pattern(vec![])),
            entries => Map::<String, Value>::deserialize(entries)?,
        };
        let entry = |(name, value): (String, Value)| {
            let expression = Regex::new(&pattern_name(&name));
            let expression = expression.map_err(|_| AdapterError::Unsupported {
                key,
                found: setting.to_string(),
                reason: "its names are regular expressions, and one can't be run, as those that look ahead or back or refer to a group can't; name modules in full",
            })?;
            Ok((expression, serde_json::from_value(value)?))
        };
        entries.into_iter().map(entry).collect::<Result<_, _>>().map(Pattern)
    }

    /// The value for a module: that of the first pattern that matches its name.
    pub fn value_for(&self, module: &str) -> Option<T> {
        self.0.iter().find(|(name, _)| name.is_match(module)).map(|(_, value)| *value)
    }
}
