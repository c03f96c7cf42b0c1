//! Data to train on and to validate with: a text, or examples of which a part is taught.

use std::collections::HashMap;

use loralab_linalg::Draws;
use loralab_tokenizer::Tokenizer;

use crate::{
    error::Error,
    example::{Examples, Lesson},
    labelled::Labelled,
    pack::Packed,
    text::utf8,
};

/// The fraction of the data that is usually held out for validation.
pub const HELD_OUT: f64 = 0.1;

/// The data that a model is trained on, or is validated with.
#[derive(Clone, Debug, PartialEq)]
pub enum Dataset {
    /// The tokens of a text; the loss counts every position.
    Text(Vec<u32>),
    /// Examples, one in each sequence; the loss counts the tokens that are taught.
    Examples(Examples),
    /// Examples, several in a sequence if they fit; attention does not cross from one to another.
    Packed(Packed),
    /// Texts with labels, one in each sequence; the loss counts the label.
    Labelled(Labelled),
}

/// A dataset in two parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// To train on.
    pub train: Dataset,
    /// To validate with; never packed.
    pub validation: Dataset,
    /// Sentences for a person on what was read and what was changed.
    pub notes: Vec<String>,
}

impl Dataset {
    /// Any UTF-8 text, as the tokenizer cuts it. A byte-order mark at its beginning is not part of it.
    ///
    /// # Errors
    /// If it is empty, is no UTF-8 or has a zero byte (with the offset).
    pub fn text(bytes: &[u8], tokenizer: &Tokenizer) -> Result<Self, Error> {
        Ok(Self::Text(tokenizer.encode(utf8(bytes)?)))
    }

    /// Checks that the data fill a sequence of `tokens` tokens, or that every example fits one and has a taught token.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::PartTooShort`], [`Error::ExampleEmpty`] or [`Error::ExampleTooLong`].
    pub fn fits(&self, tokens: usize) -> Result<(), Error> {
        match self {
            Self::Text(text) if text.is_empty() => Err(Error::Empty),
            Self::Text(text) if text.len() <= tokens => {
                Err(Error::PartTooShort { found: text.len(), needed: tokens.saturating_add(1), tokens })
            }
            Self::Text(_) => Ok(()),
            Self::Examples(examples) => fit(examples, tokens),
            Self::Packed(packed) => fit(packed.examples(), tokens.min(packed.tokens())),
            Self::Labelled(texts) if texts.is_empty() => Err(Error::Empty),
            Self::Labelled(texts) => check_lengths(tokens, || texts.iter().map(|text| text.tokens.len())),
        }
    }

    /// Sequences of `tokens` tokens that it holds, none twice: its examples, packs of them, or windows of a text.
    pub fn sequences(&self, tokens: usize) -> usize {
        match self {
            Self::Text(text) => text.len().saturating_sub(1) / tokens.max(1),
            Self::Examples(examples) => examples.len(),
            Self::Packed(packed) => packed.len(),
            Self::Labelled(texts) => texts.len(),
        }
    }

    /// Its examples, packed or not; none for a text.
    pub fn examples(&self) -> Option<&Examples> {
        match self {
            Self::Text(_) | Self::Labelled(_) => None,
            Self::Examples(examples) => Some(examples),
            Self::Packed(packed) => Some(packed.examples()),
        }
    }

    /// Its labelled texts; none if they have no labels.
    pub fn labelled(&self) -> Option<&Labelled> {
        match self {
            Self::Labelled(texts) => Some(texts),
            _ => None,
        }
    }

    /// The same with as many examples in a sequence of `tokens` tokens as fit; a text is as it was.
    #[must_use]
    pub fn packed(self, tokens: usize) -> Self {
        match self {
            Self::Examples(examples) => Self::Packed(Packed::new(examples, tokens)),
            other => other,
        }
    }

    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => size_of_val(&text[..]),
            Self::Examples(examples) => examples.bytes(),
            Self::Packed(packed) => packed.bytes(),
            Self::Labelled(texts) => texts.bytes(),
        }
    }

    /// Holds about `fraction` of the data out for validation, for sequences of `tokens` tokens; the seed determines the part.
    ///
    /// A text is cut into stretches (20, or as many as fill a sequence each); some are held out and the others joined. Examples are
    /// held out by prompt, so that no prompt is in both parts. Both parts keep the order of the data.
    ///
    /// # Errors
    /// If the fraction is not between 0 and 1, or there is too little data for a part of each.
    pub fn split(&self, seed: u64, fraction: f64, tokens: usize) -> Result<Split, Error> {
        if !(fraction > 0.0 && fraction < 1.0) {
            return Err(Error::Fraction { fraction });
        }
        if !matches!(self, Self::Text(_)) {
            self.fits(tokens)?;
        }
        match self {
            Self::Text(text) => split_text(text, seed, fraction, tokens),
            Self::Labelled(texts) => {
                let parts = parts(texts.iter().map(|text| text.tokens), seed, fraction)?;
                let part = |validates: bool| Dataset::Labelled(texts.chosen(|index| parts[index] == validates));
                Ok(Split { train: part(false), validation: part(true), notes: vec![] })
            }
            Self::Examples(_) | Self::Packed(_) => {
                let examples = self.examples().ok_or(Error::Empty)?;
                let parts = parts(examples.iter().map(Lesson::prompt), seed, fraction)?;
                let part = |validates: bool| Dataset::Examples(examples.chosen(|index| parts[index] == validates));
                Ok(Split { train: part(false), validation: part(true), notes: vec![] })
            }
        }
    }

    /// These data to train on, with others to validate with.
    ///
    /// # Errors
    /// If they are of different kinds, or one does not fit sequences of `tokens` tokens.
    pub fn with_validation(self, validation: Self, tokens: usize) -> Result<Split, Error> {
        let kind = |dataset: &Self| match dataset {
            Self::Text(_) => "a text",
            Self::Examples(_) | Self::Packed(_) => "examples",
            Self::Labelled(texts) if texts.labels().names().is_some() => "texts with classes",
            Self::Labelled(_) => "texts with scores",
        };
        if kind(&self) != kind(&validation) {
            return Err(Error::Kinds { train: kind(&self), validation: kind(&validation) });
        }
        validation.fits(tokens)?;
        Ok(Split { train: self, validation, notes: vec![] })
    }
}

/// Checks that there are examples, and that each has a taught token and is no longer than a sequence.
fn fit(examples: &Examples, tokens: usize) -> Result<(), Error> {
    if examples.is_empty() {
        return Err(Error::Empty);
    }
    if let Some(index) = examples.iter().position(|lesson| !lesson.teaches()) {
        return Err(Error::ExampleEmpty { number: index + 1 });
    }
    check_lengths(tokens, || examples.iter().map(|lesson| lesson.tokens.len()))
}

/// True if none of these lengths is more than a sequence has.
fn check_lengths<I: Iterator<Item = usize>>(tokens: usize, lengths: impl Fn() -> I) -> Result<(), Error> {
    let Some((first, found)) = lengths().enumerate().find(|(_, length)| *length > tokens) else { return Ok(()) };
    Err(Error::ExampleTooLong {
        number: first + 1,
        found,
        tokens,
        long: lengths().filter(|length| *length > tokens).count(),
        longest: lengths().max().unwrap_or(0),
    })
}

/// Checks that a text of `found` tokens can be cut into a part to train on and one to validate with.
fn splittable(found: usize, tokens: usize) -> Result<(), Error> {
    let needed = tokens.saturating_add(1).saturating_mul(2);
    if found < needed { Err(Error::TextTooShort { found, needed, tokens }) } else { Ok(()) }
}

fn split_text(text: &[u32], seed: u64, fraction: f64, tokens: usize) -> Result<Split, Error> {
    const STRETCHES: usize = 20;
    splittable(text.len(), tokens)?;
    let count = (text.len() / tokens.saturating_add(1)).min(STRETCHES);
    let held_out = held_out(seed, count, fraction);
    let part = |validates: bool| {
        let stretches = (0..count).filter(|&stretch| held_out[stretch] == validates);
        let stretches =
            stretches.map(|stretch| &text[share(text.len(), stretch, count)..share(text.len(), stretch + 1, count)]);
        // Joined at once, which takes no more memory than the part has.
        Dataset::Text(stretches.collect::<Vec<_>>().concat())
    };
    Ok(Split { train: part(false), validation: part(true), notes: vec![] })
}

/// ⌊`whole` · `part` / `of`⌋ for a part of the whole: exact, though the product may be beyond a 32-bit `usize`, as in WebAssembly.
pub(crate) fn share(whole: usize, part: usize, of: usize) -> usize {
    (whole as u128 * part as u128 / of as u128) as usize
}

/// For each of these prompts, if it is held out: equal ones together.
fn parts<'a>(prompts: impl Iterator<Item = &'a [u32]>, seed: u64, fraction: f64) -> Result<Vec<bool>, Error> {
    let mut numbers = HashMap::new();
    let mut number = |prompt| {
        let next = numbers.len();
        *numbers.entry(prompt).or_insert(next)
    };
    let of: Vec<usize> = prompts.map(&mut number).collect();
    if numbers.len() < 2 {
        return Err(Error::TooFewPrompts { prompts: numbers.len() });
    }
    let held_out = held_out(seed, numbers.len(), fraction);
    Ok(of.into_iter().map(|number| held_out[number]).collect())
}

/// True for each of `count` ≥ 2 pieces that is held out: about the fraction of them, but at least one and not all.
fn held_out(seed: u64, count: usize, fraction: f64) -> Vec<bool> {
    let some = ((count as f64 * fraction).round() as usize).clamp(1, count - 1);
    let mut held_out: Vec<bool> = (0..count).map(|piece| piece < some).collect();
    Draws::new(seed, "split").shuffle(&mut held_out);
    held_out
}

#[cfg(test)]
mod tests;
