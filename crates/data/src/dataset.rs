//! Data to train on and to validate with: a text, or examples of which a part is taught.

use std::collections::HashMap;

use loralab_linalg::Draws;
use loralab_tokenizer::Tokenizer;

use crate::{error::Error, example::Examples, pack::Packed, text::utf8};

/// The fraction of the data that is usually held out for validation.
pub const HELD_OUT: f64 = 0.1;

/// The data that a model is trained on, or is validated with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dataset {
    /// The tokens of a text; the loss counts every position.
    Text(Vec<u32>),
    /// Examples, one in each sequence; the loss counts the tokens that are taught.
    Examples(Examples),
    /// Examples, several in a sequence if they fit; attention does not cross from one to another.
    Packed(Packed),
}

/// A dataset in two parts.
#[derive(Clone, Debug, PartialEq, Eq)]
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
        }
    }

    /// Sequences of `tokens` tokens that it holds, none twice: its examples, packs of them, or windows of a text.
    pub fn sequences(&self, tokens: usize) -> usize {
        match self {
            Self::Text(text) => text.len().saturating_sub(1) / tokens.max(1),
            Self::Examples(examples) => examples.len(),
            Self::Packed(packed) => packed.len(),
        }
    }

    /// Its examples, packed or not; none for a text.
    pub fn examples(&self) -> Option<&Examples> {
        match self {
            Self::Text(_) => None,
            Self::Examples(examples) => Some(examples),
            Self::Packed(packed) => Some(packed.examples()),
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
        match (self, self.examples()) {
            (Self::Text(text), _) => split_text(text, seed, fraction, tokens),
            (_, Some(examples)) => {
                self.fits(tokens)?;
                split_examples(examples, seed, fraction)
            }
            (_, None) => Err(Error::Empty),
        }
    }

    /// These data to train on, with others to validate with.
    ///
    /// # Errors
    /// If one is a text and the other is not, or one does not fit sequences of `tokens` tokens.
    pub fn with_validation(self, validation: Self, tokens: usize) -> Result<Split, Error> {
        let kind = |dataset: &Self| if dataset.examples().is_some() { "examples" } else { "a text" };
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
    let lengths = || examples.iter().map(|lesson| lesson.tokens.len());
    let Some(first) = lengths().position(|length| length > tokens) else { return Ok(()) };
    Err(Error::ExampleTooLong {
        number: first + 1,
        found: examples.at(first).tokens.len(),
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

fn split_examples(examples: &Examples, seed: u64, fraction: f64) -> Result<Split, Error> {
    let mut numbers = HashMap::new();
    for lesson in examples.iter() {
        let next = numbers.len();
        numbers.entry(lesson.prompt()).or_insert(next);
    }
    if numbers.len() < 2 {
        return Err(Error::TooFewPrompts { prompts: numbers.len() });
    }
    let held_out = held_out(seed, numbers.len(), fraction);
    let part = |validates: bool| {
        Dataset::Examples(examples.chosen(|index| held_out[numbers[examples.at(index).prompt()]] == validates))
    };
    Ok(Split { train: part(false), validation: part(true), notes: vec![] })
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
