//! The values that flags take, each with the sentence of what it must be.

use std::str::FromStr;

use loralab_experiment::{KEYS, Quantize};

/// Sizes beyond this belong to no model this command could train; below it, no product of sizes overflows.
const LARGEST_SIZE: usize = 1 << 16;

/// Reads a size of a model.
pub fn size(text: &str) -> Result<usize, String> {
    let sized = text.parse().ok().filter(|size| (1..=LARGEST_SIZE).contains(size));
    sized.ok_or_else(|| format!("it must be a whole number from 1 to {LARGEST_SIZE}"))
}

/// Reads a whole number above 0.
pub fn at_least_1(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "it must be a whole number of at least 1".to_owned())
}

/// Reads a positive number that f32 can hold.
pub fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|x: &f64| *x > 0.0 && (*x as f32).is_normal());
    number.ok_or_else(|| {
        "it must be a number above 0 and within the range of 32-bit floats (1.2e-38 to 3.4e38)".to_owned()
    })
}

/// Reads a number of at least 0 that f32 can hold.
pub fn not_negative(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|x: &f64| *x >= 0.0 && (*x as f32).is_finite());
    number.ok_or_else(|| {
        "it must be a number of at least 0 and within the range of 32-bit floats (up to 3.4e38)".to_owned()
    })
}

/// Reads a probability above 0.
pub fn probability(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|x: &f64| *x > 0.0 && *x <= 1.0);
    number.ok_or_else(|| "it must be a number above 0, up to 1".to_owned())
}

/// Reads the bits that a base is kept in.
pub fn quantize(text: &str) -> Result<Quantize, String> {
    Quantize::named(text.trim()).map_err(|_| format!("it must be {}", needs("quantize")))
}

/// Reads a value of the setting of that name; what is no such value is told in the words of the setting's table.
pub fn setting<T: FromStr>(name: &'static str) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| text.trim().parse().map_err(|_| format!("it must be {}", needs(name)))
}

/// The same where the setting is a list, and one of its values is wanted.
pub fn one_of<T: FromStr>(name: &'static str) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        setting(name)(text).map_err(|sentence| {
            let one =
                sentence.replace("a list of whole numbers", "a whole number").replace("a list of numbers", "a number");
            let one = one.split(", or how many").next().unwrap_or(&one).to_owned();
            if text.contains(',') { format!("{one}; several are for `loralab sweep`") } else { one }
        })
    }
}

/// The words of the setting's table for its value.
fn needs(name: &str) -> &'static str {
    KEYS.iter().find(|key| key.name == name).map_or("another value", |key| key.needs)
}

/// An item of `--learning-rates`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// Search for them.
    Auto,
    /// This one.
    At(f64),
}

/// Reads a rate or `auto`.
pub fn rate(text: &str) -> Result<Rate, String> {
    match text.trim() {
        "auto" => Ok(Rate::Auto),
        text => text.parse().map(Rate::At).map_err(|_| format!("it must be {}, or auto", needs("learning_rates"))),
    }
}

/// The listed rates; none for a search.
pub fn listed(rates: &[Rate]) -> Option<Vec<f64>> {
    let at = |rate: &Rate| match rate {
        Rate::Auto => None,
        Rate::At(rate) => Some(*rate),
    };
    let listed: Vec<f64> = rates.iter().filter_map(at).collect();
    (!listed.is_empty()).then_some(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_listed_or_searched_for() {
        assert_eq!((rate("auto"), rate(" 1e-3")), (Ok(Rate::Auto), Ok(Rate::At(1e-3))));
        assert!(rate("automatic").is_err_and(|sentence| sentence.ends_with("or auto")));
        assert_eq!(listed(&[Rate::At(1e-3), Rate::At(2e-3)]), Some(vec![1e-3, 2e-3]));
        assert_eq!(listed(&[Rate::Auto]), None);
    }
}
