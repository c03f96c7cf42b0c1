//! Data to train on and to validate with: a text, or examples of prompt and completion.

use std::collections::HashMap;

use loralab_linalg::Draws;
use loralab_tokenizer::Tokenizer;
use serde_json::Value;

use crate::error::Error;
use crate::task::Example;

/// The fraction of the data that is usually held out for validation.
pub const HELD_OUT: f64 = 0.1;

/// What a model is trained on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dataset {
    /// The tokens of a text; the loss counts every position.
    Text(Vec<u32>),
    /// Prompts with completions; the loss counts the completions.
    Examples(Vec<Example>),
}

/// A dataset in two parts that share nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// To train on.
    pub train: Dataset,
    /// To validate with.
    pub validation: Dataset,
}

impl Dataset {
    /// Any UTF-8 text, as the tokenizer cuts it, for sequences of `tokens` tokens. A byte-order mark at its beginning is not part of it.
    ///
    /// # Errors
    /// If it is empty, is no UTF-8 or has a zero byte (with the offset), or does not fill one sequence to train on and one to validate
    /// with (`tokens` + 1 tokens each, since each position's target is the token after it).
    pub fn text(bytes: &[u8], tokenizer: &Tokenizer, tokens: usize) -> Result<Self, Error> {
        let text = tokenizer.encode(utf8(bytes)?);
        splittable(text.len(), tokens)?;
        Ok(Self::Text(text))
    }

    /// Examples from JSON lines, `{"prompt": "...", "completion": "..."}` each, for sequences of `tokens` tokens. Blank lines are
    /// skipped, other fields ignored. A completion gets a newline at its end where it has none: generation stops there.
    ///
    /// # Errors
    /// If there is no example, the bytes are no UTF-8 text, or a line is no such object, lacks a field, has one that is no string or is
    /// empty, or is too long for a sequence: with the number of the line.
    pub fn jsonl(bytes: &[u8], tokenizer: &Tokenizer, tokens: usize) -> Result<Self, Error> {
        let (mut examples, mut lines) = (Vec::new(), Vec::new());
        for (index, line) in utf8(bytes)?.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let number = index + 1;
            examples.push(example(line, tokenizer).map_err(|what| Error::Line { line: number, what })?);
            lines.push(number);
        }
        fit(&examples, tokens, |index| format!("line {}", lines[index]))?;
        if examples.is_empty() {
            return Err(Error::Empty);
        }
        Ok(Self::Examples(examples))
    }

    /// Whether every sequence of `tokens` tokens can be filled, and every example fits one.
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
            Self::Examples(examples) if examples.is_empty() => Err(Error::Empty),
            Self::Examples(examples) => fit(examples, tokens, |index| format!("example {}", index + 1)),
        }
    }

    /// Sequences of `tokens` tokens that it holds, none twice: its examples, or windows of a text.
    pub fn sequences(&self, tokens: usize) -> usize {
        match self {
            Self::Text(text) => text.len().saturating_sub(1) / tokens.max(1),
            Self::Examples(examples) => examples.len(),
        }
    }

    /// Holds about `fraction` of the data out for validation, for sequences of `tokens` tokens; which, the seed says.
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
        match self {
            Self::Text(text) => split_text(text, seed, fraction, tokens),
            Self::Examples(examples) => {
                self.fits(tokens)?;
                split_examples(examples, seed, fraction)
            }
        }
    }
}

/// The bytes as a text, without the byte-order mark that some programs begin one with.
fn utf8(bytes: &[u8]) -> Result<&str, Error> {
    const MARK: &str = "\u{feff}";
    let wide = match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16"),
        _ => None,
    };
    if let Some(encoding) = wide {
        return Err(Error::Wide { encoding });
    }
    let binary = |offset: usize| Error::Binary { offset, byte: bytes[offset] };
    let text = std::str::from_utf8(bytes).map_err(|error| binary(error.valid_up_to()))?;
    if let Some(offset) = text.find('\0') {
        return Err(binary(offset));
    }
    let text = text.strip_prefix(MARK).unwrap_or(text);
    if text.is_empty() { Err(Error::Empty) } else { Ok(text) }
}

/// The example in a line of JSON, or what is wrong with the line.
fn example(line: &str, tokenizer: &Tokenizer) -> Result<Example, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| {
        // The parser sees one line only, so its own line number would mislead.
        let what = error.to_string();
        let what = what.split(" at line ").next().unwrap_or(&what);
        format!("not valid JSON at column {} ({what})", error.column())
    })?;
    let Value::Object(fields) = value else {
        return Err("not a JSON object".to_owned());
    };
    let field = |name: &str| match fields.get(name) {
        None => Err(format!("the field \"{name}\" is missing")),
        Some(Value::String(text)) if text.is_empty() => Err(format!("the field \"{name}\" is empty")),
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(_) => Err(format!("the field \"{name}\" is not a string")),
    };
    Ok(Example::new(field("prompt")?, field("completion")?, tokenizer))
}

/// Whether each example says something and is no longer than a sequence; `place` says where one stands.
fn fit(examples: &[Example], tokens: usize, place: impl Fn(usize) -> String) -> Result<(), Error> {
    if let Some(index) = examples.iter().position(|example| example.prompt.is_empty() || example.completion.is_empty())
    {
        return Err(Error::ExampleEmpty { place: place(index) });
    }
    let Some(first) = examples.iter().position(|example| example.length() > tokens) else { return Ok(()) };
    Err(Error::ExampleTooLong {
        place: place(first),
        found: examples[first].length(),
        tokens,
        long: examples.iter().filter(|example| example.length() > tokens).count(),
        longest: examples.iter().map(Example::length).max().unwrap_or(0),
    })
}

/// Whether a text of `found` tokens can be cut into a part to train on and one to validate with.
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
    Ok(Split { train: part(false), validation: part(true) })
}

/// ⌊`whole` · `part` / `of`⌋ for a part of the whole: exact, though the product may be beyond a 32-bit `usize`, as in WebAssembly.
pub(crate) fn share(whole: usize, part: usize, of: usize) -> usize {
    (whole as u128 * part as u128 / of as u128) as usize
}

fn split_examples(examples: &[Example], seed: u64, fraction: f64) -> Result<Split, Error> {
    let mut numbers = HashMap::new();
    for example in examples {
        let next = numbers.len();
        numbers.entry(&example.prompt).or_insert(next);
    }
    if numbers.len() < 2 {
        return Err(Error::TooFewPrompts { prompts: numbers.len() });
    }
    let held_out = held_out(seed, numbers.len(), fraction);
    let (validation, train) = examples.iter().cloned().partition(|example| held_out[numbers[&example.prompt]]);
    Ok(Split { train: Dataset::Examples(train), validation: Dataset::Examples(validation) })
}

/// Which of `count` ≥ 2 pieces are held out: the fraction, but at least one and not all.
fn held_out(seed: u64, count: usize, fraction: f64) -> Vec<bool> {
    let some = ((count as f64 * fraction).round() as usize).clamp(1, count - 1);
    let mut held_out: Vec<bool> = (0..count).map(|piece| piece < some).collect();
    Draws::new(seed, "split").shuffle(&mut held_out);
    held_out
}

#[cfg(test)]
mod tests;
