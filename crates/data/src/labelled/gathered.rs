//! Labels as records give them, and the classes or scores that they stand for.

use std::collections::HashMap;

use loralab_tokenizer::Encoded;

use super::{Labelled, Labels, Wanted};
use crate::error::{Error, Place};

/// Most classes: more different labels are hardly names of classes.
const MOST_CLASSES: usize = 1024;

/// Texts with the labels that their records give.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gathered {
    tokens: Vec<u32>,
    types: Vec<u32>,
    ends: Vec<usize>,
    /// For each text the number of its label among those that there are.
    of: Vec<usize>,
    /// Each label, and where it stands first.
    distinct: Vec<(String, Place)>,
    numbers: HashMap<String, usize>,
}

impl Gathered {
    /// Adds a text.
    pub fn push(&mut self, encoded: &Encoded, label: String, place: Place) {
        self.tokens.extend_from_slice(&encoded.tokens);
        self.types.extend_from_slice(&encoded.types);
        self.ends.push(self.tokens.len());
        let next = self.distinct.len();
        let number = *self.numbers.entry(label.clone()).or_insert(next);
        if number == next {
            self.distinct.push((label, place));
        }
        self.of.push(number);
    }

    /// True if there are no texts.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The texts with what their labels stand for.
    ///
    /// # Errors
    /// If a label is none of the known classes or no number where it must be one, or there is one class or too many.
    pub fn labelled(self, wanted: &Wanted) -> Result<Labelled, Error> {
        let labels = self.labels(wanted)?;
        let Self { tokens, types, ends, .. } = self;
        Ok(Labelled { tokens, types, ends, labels })
    }

    fn labels(&self, wanted: &Wanted) -> Result<Labels, Error> {
        match wanted {
            Wanted::Score => self.scores("a number, since the model gives a text a score"),
            Wanted::KnownClass(names) => {
                let stranger = self.distinct.iter().find(|(label, _)| class(label, names).is_none());
                match stranger {
                    Some((label, place)) => {
                        Err(label_error(label, *place, &format!("one of the classes {}", names.join(", "))))
                    }
                    None => Ok(self.classes(names.clone(), |label| class(label, names))),
                }
            }
            Wanted::Class(names) if self.distinct.iter().all(|(label, _)| class(label, names).is_some()) => {
                Ok(self.classes(names.clone(), |label| class(label, names)))
            }
            Wanted::Class(_) => self.as_they_are(),
        }
    }

    /// Scores if all are numbers and some no whole ones; else a class for each label, whole numbers by size and others by the alphabet.
    fn as_they_are(&self) -> Result<Labels, Error> {
        let numbers: Option<Vec<f64>> = self.distinct.iter().map(|(label, _)| number(label)).collect();
        if numbers.as_ref().is_some_and(|numbers| numbers.iter().any(|number| number.fract() != 0.0)) {
            return self.scores("a number");
        }
        let mut names: Vec<String> = self.distinct.iter().map(|(label, _)| label.clone()).collect();
        match numbers {
            Some(_) => {
                names
                    .sort_by(|one, other| number(one).partial_cmp(&number(other)).unwrap_or(std::cmp::Ordering::Equal));
            }
            None => names.sort(),
        }
        match names.len() {
            1 => Err(Error::OneClass { label: names.swap_remove(0) }),
            2..=MOST_CLASSES => {
                let numbers: HashMap<&str, u32> = names.iter().map(|name| &name[..]).zip(0..).collect();
                let of = self.of.iter().map(|&label| numbers[&self.distinct[label].0[..]]).collect();
                Ok(Labels::Classes { of, names })
            }
            found => Err(Error::ManyClasses { found, most: MOST_CLASSES }),
        }
    }

    fn classes(&self, names: Vec<String>, class: impl Fn(&str) -> Option<u32>) -> Labels {
        let classes: Vec<u32> = self.distinct.iter().map(|(label, _)| class(label).unwrap_or(0)).collect();
        Labels::Classes { names, of: self.of.iter().map(|&label| classes[label]).collect() }
    }

    fn scores(&self, needed: &str) -> Result<Labels, Error> {
        let score = |(label, place): &(String, Place)| {
            number(label).map(|number| number as f32).ok_or_else(|| label_error(label, *place, needed))
        };
        let scores = self.distinct.iter().map(score).collect::<Result<Vec<f32>, Error>>()?;
        Ok(Labels::Scores(self.of.iter().map(|&label| scores[label]).collect()))
    }
}

/// The number of a class by its name, or by its number.
fn class(label: &str, names: &[String]) -> Option<u32> {
    let by_name = names.iter().position(|name| name == label);
    let index = by_name.or_else(|| label.parse().ok().filter(|&number: &usize| number < names.len()));
    index.and_then(|index| u32::try_from(index).ok())
}

/// A label as a number that a score can hold.
fn number(label: &str) -> Option<f64> {
    label.parse().ok().filter(|number: &f64| number.abs() <= f32::MAX.into())
}

fn label_error(label: &str, place: Place, needed: &str) -> Error {
    Error::Label { place, label: label.to_owned(), needed: needed.to_owned() }
}
