//! A number of a scheme that an experiment sets.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// `SCHEME.OPTION=NUMBER`. The schemes alone know their options and the values that these may have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SchemeOption {
    /// The scheme.
    pub scheme: String,
    /// Its option.
    pub option: String,
    /// The number, finite.
    pub value: f64,
}

impl fmt::Display for SchemeOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}={}", self.scheme, self.option, self.value)
    }
}

impl FromStr for SchemeOption {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (name, value) = text.split_once('=').ok_or(())?;
        let (scheme, option) = name.split_once('.').ok_or(())?;
        let (scheme, option) = (scheme.trim(), option.trim());
        let value = value.trim().parse::<f64>().ok().filter(|value| value.is_finite()).ok_or(())?;
        if scheme.is_empty() || option.is_empty() {
            return Err(());
        }
        Ok(Self { scheme: scheme.to_owned(), option: option.to_owned(), value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_a_scheme_a_name_and_a_number() {
        for text in ["eva.rho=1", "lora-ga.gamma=0.5", "hrp.share=0.00001"] {
            assert_eq!(text.parse::<SchemeOption>().map(|option| option.to_string()).as_deref(), Ok(text));
        }
        assert_eq!(" a . b = 1e2 ".parse::<SchemeOption>().map(|option| option.to_string()).as_deref(), Ok("a.b=100"));
        for text in ["", "eva", "eva.rho", "rho=1", "eva.rho=", "eva.rho=x", "eva.rho=inf", ".rho=1", "eva.=1"] {
            assert!(text.parse::<SchemeOption>().is_err(), "{text}");
        }
    }
}
