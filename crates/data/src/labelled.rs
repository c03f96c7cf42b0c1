//! Texts, or pairs of texts, with labels: for a model that says which class a text belongs to, or gives it a score.

mod gathered;

pub(crate) use gathered::Gathered;
use loralab_tokenizer::{Encoded, Tokenizer};

/// The answer that a model is to give about a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Its class. Labels are names of the known classes, or their numbers from 0 on. If they are neither, the labels say what classes there are.
    Class(Vec<String>),
    /// Its class, which must be one of the known classes.
    KnownClass(Vec<String>),
    /// A number.
    Score,
}

/// The labels of some texts.
#[derive(Clone, Debug, PartialEq)]
pub enum Labels {
    /// Classes by their names, and the number of each text's class.
    Classes {
        /// The names, by their numbers.
        names: Vec<String>,
        /// For each text its class, below the number of names.
        of: Vec<u32>,
    },
    /// For each text its score.
    Scores(Vec<f32>),
}

/// Texts as token ids, each with its label.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    tokens: Vec<u32>,
    types: Vec<u32>,
    /// For each text the index behind its last token.
    ends: Vec<usize>,
    labels: Labels,
}

/// One of many labelled texts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabelledText<'a> {
    /// Its tokens, special ones included.
    pub tokens: &'a [u32],
    /// For each token the text of a pair that it belongs to, 0 or 1.
    pub types: &'a [u32],
    /// Its label.
    pub label: Label,
}

/// A label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Label {
    /// The number of a class.
    Class(u32),
    /// A score.
    Score(f32),
}

impl Labels {
    /// Names of the classes; none for scores.
    pub fn names(&self) -> Option<&[String]> {
        match self {
            Self::Classes { names, .. } => Some(names),
            Self::Scores(_) => None,
        }
    }

    fn at(&self, index: usize) -> Label {
        match self {
            Self::Classes { of, .. } => Label::Class(of[index]),
            Self::Scores(scores) => Label::Score(scores[index]),
        }
    }

    fn chosen(&self, indices: &[usize]) -> Self {
        match self {
            Self::Classes { names, of } => {
                Self::Classes { names: names.clone(), of: indices.iter().map(|&index| of[index]).collect() }
            }
            Self::Scores(scores) => Self::Scores(indices.iter().map(|&index| scores[index]).collect()),
        }
    }

    /// A sentence on the classes and how often each is there, or on the range of the scores.
    pub fn in_words(&self) -> String {
        const SHOWN: usize = 12;
        match self {
            Self::Classes { names, of } => {
                let count = |class: usize| of.iter().filter(|&&one| one as usize == class).count();
                let each =
                    names.iter().enumerate().take(SHOWN).map(|(class, name)| format!("{name} ({})", count(class)));
                let each = each.collect::<Vec<_>>().join(", ");
                let more = if names.len() > SHOWN { ", …" } else { "" };
                format!("{} classes, each with its number of texts: {each}{more}.", names.len())
            }
            Self::Scores(scores) => {
                let [low, high] =
                    [f32::min, f32::max].map(|end| scores.iter().copied().reduce(end).unwrap_or(f32::NAN));
                format!("The labels are scores from {low} to {high}.")
            }
        }
    }
}

impl Labelled {
    /// Number of texts.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The labels of all texts.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// The text at an index below [`len`](Self::len).
    ///
    /// # Panics
    /// If there is no such text.
    pub fn at(&self, index: usize) -> LabelledText<'_> {
        let range = index.checked_sub(1).map_or(0, |before| self.ends[before])..self.ends[index];
        LabelledText { tokens: &self.tokens[range.clone()], types: &self.types[range], label: self.labels.at(index) }
    }

    /// All texts, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = LabelledText<'_>> {
        (0..self.len()).map(|index| self.at(index))
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.tokens[..]) + size_of_val(&self.types[..]) + size_of_val(&self.ends[..]) + 4 * self.len()
    }

    /// The largest number of a token's type.
    pub fn last_type(&self) -> u32 {
        self.types.iter().copied().max().unwrap_or(0)
    }

    /// The texts for which `belongs` says so, by their indices.
    pub(crate) fn chosen(&self, belongs: impl Fn(usize) -> bool) -> Self {
        let indices: Vec<usize> = (0..self.len()).filter(|&index| belongs(index)).collect();
        let (mut tokens, mut types, mut ends) = (vec![], vec![], Vec::with_capacity(indices.len()));
        for &index in &indices {
            let text = self.at(index);
            tokens.extend_from_slice(text.tokens);
            types.extend_from_slice(text.types);
            ends.push(tokens.len());
        }
        Self { tokens, types, ends, labels: self.labels.chosen(&indices) }
    }
}

/// The lengths of one or two texts that keep `most` tokens of them together: as `truncate_encodings` of the library `tokenizers` with `LongestFirst`.
fn shortened(lengths: &[usize], most: usize) -> Vec<usize> {
    let &[first, second] = lengths else { return lengths.iter().map(|length| *length.min(&most)).collect() };
    let short = first.min(second);
    let long = if short > most { short } else { short.max(most - short) };
    let [short, long] = if short + long > most { [most / 2, most / 2 + most % 2] } else { [short, long] };
    if first > second { vec![long, short] } else { vec![short, long] }
}

/// The tokens of a text, or of a pair, of which at most `most` are kept if there are more: like transformers' `longest_first` it takes tokens from the end
/// of the longer text, and keeps the special tokens.
pub(crate) fn cut(texts: &[&str], tokenizer: &Tokenizer, most: usize) -> Encoded {
    let whole = tokenizer.encode_pair(texts[0], texts.get(1).copied());
    if whole.tokens.len() <= most {
        return whole;
    }
    let mut spans = vec![];
    let mut from = 0;
    for text in texts {
        let own = tokenizer.encode(text);
        let place =
            (from..=whole.tokens.len().saturating_sub(own.len())).find(|&at| whole.tokens[at..].starts_with(&own));
        // A text whose tokens differ beside special ones is cut as it ends.
        let Some(place) = place else {
            return Encoded { tokens: whole.tokens[..most].to_vec(), types: whole.types[..most].to_vec() };
        };
        from = place + own.len();
        spans.push(place..from);
    }
    let lengths: Vec<usize> = spans.iter().map(std::ops::Range::len).collect();
    let special = whole.tokens.len() - lengths.iter().sum::<usize>();
    let lengths = shortened(&lengths, most.saturating_sub(special));
    let is_kept = |at: &usize| {
        let own = spans.iter().zip(&lengths).find(|(span, _)| span.contains(at));
        own.is_none_or(|(span, length)| at - span.start < *length)
    };
    let kept: Vec<usize> = (0..whole.tokens.len()).filter(is_kept).take(most).collect();
    Encoded {
        tokens: kept.iter().map(|&at| whole.tokens[at]).collect(),
        types: kept.iter().map(|&at| whole.types[at]).collect(),
    }
}

#[cfg(test)]
mod tests;
