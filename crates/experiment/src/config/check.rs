//! A setting on its way from a text to its checked value and back.

use std::num::NonZeroUsize;
use std::str::FromStr;

use serde::Serialize;

use crate::config::bytes::Bytes;
use crate::config::data::{Fields, HeldOut};
use crate::config::error::ExperimentError;
use crate::config::experiment::Seeds;
use crate::config::keys::{Key, key};
use crate::config::names::{Preconditioner, Quantize, Scaling};
use crate::config::pattern::OfModules;
use crate::config::resolved::{Base, Data, Optimizer};
use crate::config::schedule::Schedule;
use crate::config::scheme_option::SchemeOption;
use crate::config::table::Experiment;

/// PEFT's word for every linear map.
pub(crate) const ALL_LINEAR: &str = "all-linear";

/// A setting to be checked.
pub(crate) struct Given<'a, T> {
    /// Its name.
    pub name: &'static str,
    /// Its value, if it was given.
    pub value: Option<T>,
    /// The experiment that it belongs to.
    pub experiment: &'a Experiment,
    /// The schemes there are.
    pub schemes: &'a [&'a str],
}

impl<T> Given<'_, T> {
    /// The value as a check has it.
    pub fn by<R>(self, check: impl FnOnce(Self) -> Result<R, ExperimentError>) -> Result<R, ExperimentError> {
        check(self)
    }
}

impl<T: FromText> Given<'_, T> {
    /// The value, or its default.
    pub fn or_default(self) -> T {
        let default = || T::from_text(known(self.name).default, "").expect("the table has defaults that are values");
        self.value.unwrap_or_else(default)
    }
}

/// At least 1.
pub(crate) fn count(given: Given<'_, usize>) -> Result<usize, ExperimentError> {
    let name = given.name;
    Some(given.or_default()).filter(|&value| value > 0).ok_or_else(|| refused(name, 0))
}

/// On or off.
pub(crate) fn switch(given: Given<'_, bool>) -> Result<bool, ExperimentError> {
    Ok(given.or_default())
}

/// Any whole number.
pub(crate) fn whole(given: Given<'_, usize>) -> Result<usize, ExperimentError> {
    Ok(given.or_default())
}

/// Steps between validations. Early stopping makes validations of its own.
pub(crate) fn evaluate_every(given: Given<'_, usize>) -> Result<usize, ExperimentError> {
    let stops_early = given.experiment.stop_early == Some(true);
    if given.value.is_none() && stops_early { Ok(0) } else { whole(given) }
}

/// At least 1, if there is any.
pub(crate) fn limit(given: Given<'_, usize>) -> Result<Option<NonZeroUsize>, ExperimentError> {
    given.value.map(|value| NonZeroUsize::new(value).ok_or_else(|| refused(given.name, 0))).transpose()
}

/// Above 0 in f32.
pub(crate) fn positive(given: Given<'_, f64>) -> Result<f64, ExperimentError> {
    real(given, fits_f32)
}

/// 0, or not taken for 0 in f32.
pub(crate) fn not_negative(given: Given<'_, f64>) -> Result<f64, ExperimentError> {
    real(given, |value| value == 0.0 || fits_f32(value))
}

/// From 0 to below 1. The kernels multiply by it in f32, where what rounds to 1 forgets nothing, ever.
pub(crate) fn decay(given: Given<'_, f64>) -> Result<f64, ExperimentError> {
    real(given, |value| (0.0..1.0).contains(&value) && (value as f32) < 1.0)
}

fn real(given: Given<'_, f64>, right: fn(f64) -> bool) -> Result<f64, ExperimentError> {
    let name = given.name;
    let value = given.or_default();
    number(name, value, right(value))
}

fn known(name: &'static str) -> &'static Key {
    key(name).expect("resolve names settings of the key table only")
}

pub(crate) fn refused(name: &'static str, found: impl ToString) -> ExperimentError {
    ExperimentError::Value { key: known(name), line: None, found: found.to_string() }
}

pub(crate) fn number(name: &'static str, value: f64, right: bool) -> Result<f64, ExperimentError> {
    // Infinity as f32 is refused everywhere: the training computes in f32.
    if right && (value as f32).is_finite() { Ok(value) } else { Err(refused(name, number_text(value))) }
}

/// As one would write it: `1e-60` rather than sixty zeros.
pub(crate) fn number_text(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && (size < 1e-4 || (1e15..f64::INFINITY).contains(&size)) {
        format!("{value:e}")
    } else {
        value.to_string()
    }
}

/// Positive, and neither zero nor infinite nor subnormal as f32.
pub(crate) fn fits_f32(value: f64) -> bool {
    value > 0.0 && (value as f32).is_normal()
}

pub(crate) fn distinct<T>(name: &'static str, values: &[T], text: fn(&T) -> String) -> Result<(), ExperimentError> {
    if values.is_empty() {
        return Err(ExperimentError::Empty { key: known(name) });
    }
    let mut texts: Vec<_> = values.iter().map(text).collect();
    texts.sort();
    match texts.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(ExperimentError::Twice { key: name, found: pair[0].clone() }),
        None => Ok(()),
    }
}

/// A list that leaves its setting out if it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Listed<T>(pub Vec<T>);

impl<T: Clone> Written<Vec<T>> for Listed<T> {
    fn written(&self) -> Option<Vec<T>> {
        (!self.0.is_empty()).then(|| self.0.clone())
    }
}

/// Different values, or none.
pub(crate) fn listed<T: Clone + ToString>(given: Given<'_, Vec<T>>) -> Result<Listed<T>, ExperimentError> {
    let values = given.value.unwrap_or_default();
    if !values.is_empty() {
        distinct(given.name, &values, T::to_string)?;
    }
    Ok(Listed(values))
}

/// The entries as they are written; none of an empty list.
fn entries<T: std::fmt::Display>(list: &[OfModules<T>]) -> Option<Vec<String>> {
    (!list.is_empty()).then(|| list.iter().map(OfModules::to_string).collect())
}

/// Names that are of use beside `layers_to_transform` only.
pub(crate) fn layers_pattern(given: Given<'_, Vec<String>>) -> Result<Listed<String>, ExperimentError> {
    let names = given.value.unwrap_or_default();
    if names.is_empty() || given.experiment.layers_to_transform.is_some() {
        return Ok(Listed(names));
    }
    Err(ExperimentError::Clash {
        first: format!("`layers_pattern` is {}", names.join(",")),
        second: "`layers_to_transform` is not set".to_owned(),
        why: "the pattern says only where the chosen layers are numbered",
        remedy: "Set `layers_to_transform`, or remove `layers_pattern`.".to_owned(),
    })
}

/// A value of a setting that is read from the text of its flag.
pub(crate) trait FromText: Sized {
    /// Reads the value; `needs` is what it must be.
    fn from_text(text: &str, needs: &str) -> Result<Self, String>;
}

macro_rules! from_text {
    ($($type:ty),+) => {
        $(impl FromText for $type {
            fn from_text(text: &str, needs: &str) -> Result<Self, String> {
                text.trim().parse().map_err(|_| format!("it must be {needs}"))
            }
        })+
    };
}

from_text!(usize, f64, bool, Seeds);

impl FromText for String {
    fn from_text(text: &str, _: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl FromText for Bytes {
    fn from_text(text: &str, _: &str) -> Result<Self, String> {
        text.parse()
    }
}

impl<T: FromText> FromText for Vec<T> {
    fn from_text(text: &str, needs: &str) -> Result<Self, String> {
        text.split(',').map(|entry| T::from_text(entry, needs)).collect()
    }
}

impl FromStr for Seeds {
    type Err = ();

    /// Reads how many, or which with commas between.
    fn from_str(text: &str) -> Result<Self, ()> {
        let number = |text: &str| text.trim().parse().map_err(|_| ());
        match text.contains(',') {
            true => text.split(',').map(number).collect::<Result<_, _>>().map(Self::List),
            false => number(text).map(Self::Count),
        }
    }
}

/// A checked value that is written as a setting's.
pub(crate) trait Written<T> {
    /// The setting's value; none leaves it out.
    fn written(&self) -> Option<T>;
}

macro_rules! written {
    ($($from:ty => $into:ty: |$value:ident| $written:expr;)+) => {
        $(impl Written<$into> for $from {
            fn written(&self) -> Option<$into> {
                let $value = self;
                $written
            }
        })+
    };
}

written! {
    usize => usize: |value| Some(*value);
    bool => bool: |value| value.then_some(true);
    Fields => Vec<String>: |value| (!value.0.is_empty()).then(|| value.texts());
    HeldOut => String: |value| match value {
        HeldOut::Share(share) if *share == HeldOut::USUAL => None,
        HeldOut::Share(share) => Some(share.to_string()),
        HeldOut::Path(path) => Some(path.clone()),
    };
    f64 => f64: |value| Some(*value);
    Option<NonZeroUsize> => usize: |value| value.map(NonZeroUsize::get);
    Option<f64> => f64: |value| Some(value.unwrap_or(0.0));
    Option<Bytes> => Bytes: |value| *value;
    Vec<String> => Vec<String>: |value| Some(value.clone());
    Vec<f64> => Vec<f64>: |value| Some(value.clone());
    Vec<u64> => Seeds: |value| Some(Seeds::List(value.clone()));
    Vec<SchemeOption> => Vec<String>: |value| Some(value.iter().map(SchemeOption::to_string).collect());
    Vec<OfModules<usize>> => Vec<String>: |value| entries(value);
    Vec<OfModules<f64>> => Vec<String>: |value| entries(value);
    Option<Vec<String>> => Vec<String>: |value| Some(value.clone().unwrap_or_else(|| vec![ALL_LINEAR.to_owned()]));
    Scaling => String: |value| Some(value.to_string());
    Preconditioner => String: |value| Some(value.to_string());
    Quantize => String: |value| (*value != Quantize::None).then(|| value.to_string());
    Schedule => String: |value| Some(value.to_string());
    Optimizer => String: |value| Some(value.name().to_string());
    Base => String: |value| Some(match value {
        Base::Tiny => "tiny".to_owned(),
        Base::Nano => "nano".to_owned(),
        Base::Path(path) => path.clone(),
    });
    Data => String: |value| match value {
        Data::Task(_) => None,
        Data::Path(path) => Some(path.clone()),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::table::KEYS;

    #[test]
    fn seeds_are_counted_or_listed() {
        assert_eq!("3".parse(), Ok(Seeds::Count(3)));
        assert_eq!("4,7".parse(), Ok(Seeds::List(vec![4, 7])));
        assert_eq!("1,x".parse::<Seeds>(), Err(()));
    }

    #[test]
    fn flags_set_what_files_set() {
        for Key { name, example, .. } in KEYS {
            let from_file = Experiment::from_toml(example).expect("examples are right");
            let mut from_flag = Experiment::default();
            from_flag.set(name, &from_file.setting(name).expect("the example sets it")).expect("a value");
            assert_eq!(from_flag.settings(), from_file.settings(), "{name}");
        }
        let refused = Experiment::default().set("rank", "eight");
        assert_eq!(refused, Err("it must be a whole number of at least 1".to_owned()));
    }
}
