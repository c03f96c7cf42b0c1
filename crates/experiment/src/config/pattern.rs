//! A number that an experiment sets for some modules.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::config::check::{Given, fits_f32, refused};
use crate::config::error::ExperimentError;

/// `NAME=NUMBER`: a value for the modules that a name, the end of a name or a regular expression of names covers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OfModules<T> {
    /// The name or expression.
    pub name: String,
    /// The value.
    pub value: T,
}

impl<T: fmt::Display> fmt::Display for OfModules<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

impl<T: FromStr> FromStr for OfModules<T> {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (name, value) = text.rsplit_once('=').filter(|(name, _)| !name.trim().is_empty()).ok_or(())?;
        Ok(Self { name: name.trim().to_owned(), value: value.trim().parse().map_err(|_| ())? })
    }
}

/// Ranks of at least 1, each name once.
pub(crate) fn ranks(given: Given<'_, Vec<String>>) -> Result<Vec<OfModules<usize>>, ExperimentError> {
    pattern(given, |rank| *rank > 0)
}

/// Numbers above 0 in f32, each name once.
pub(crate) fn alphas(given: Given<'_, Vec<String>>) -> Result<Vec<OfModules<f64>>, ExperimentError> {
    pattern(given, |alpha| fits_f32(*alpha))
}

fn pattern<T: FromStr>(
    given: Given<'_, Vec<String>>,
    right: fn(&T) -> bool,
) -> Result<Vec<OfModules<T>>, ExperimentError> {
    let read = |text: &String| {
        let entry = text.parse().ok().filter(|entry: &OfModules<T>| right(&entry.value));
        entry.ok_or_else(|| refused(given.name, format!("\"{text}\"")))
    };
    let entries = given.value.iter().flatten().map(read).collect::<Result<Vec<_>, _>>()?;
    for (index, entry) in entries.iter().enumerate() {
        if entries[..index].iter().any(|other| other.name == entry.name) {
            return Err(ExperimentError::Twice { key: given.name, found: entry.name.clone() });
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_name_and_a_number() {
        for text in ["q_proj=4", r".*\.(q|v)_proj=16", "a=b=2"] {
            assert_eq!(text.parse::<OfModules<usize>>().map(|entry| entry.to_string()).as_deref(), Ok(text));
        }
        assert_eq!(" q = 0.5 ".parse(), Ok(OfModules { name: "q".to_owned(), value: 0.5 }));
        for text in ["", "q", "q=", "=4", "q=x", "q=-1", "q=1.5"] {
            assert!(text.parse::<OfModules<usize>>().is_err(), "{text}");
        }
    }
}
