//! Examples: token ids, of which some are taught, that is, are counted by the loss when the model predicts them.

use std::ops::Range;

use loralab_tokenizer::Tokenizer;

use crate::encode::ended;

/// A prompt and the completion that is wanted after it, as token ids. The loss counts the completion only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The tokens that the model continues: at least one.
    pub prompt: Vec<u32>,
    /// The tokens that it is to write: at least one. With the tokenizer of bytes the last is a newline, where generation stops.
    pub completion: Vec<u32>,
}

impl Example {
    /// The example of two texts; the completion gets the token that ends a text (see [`ended`]).
    pub(crate) fn new(prompt: &str, completion: &str, tokenizer: &Tokenizer) -> Self {
        Self { prompt: tokenizer.encode_prompt(prompt), completion: ended(completion, tokenizer) }
    }

    /// Tokens of prompt and completion together.
    pub fn length(&self) -> usize {
        self.prompt.len() + self.completion.len()
    }
}

/// Many examples, with all their tokens in one array, so that an example takes little more memory than its tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examples {
    tokens: Vec<u32>,
    /// The ranges of taught tokens, by their indices within their example.
    runs: Vec<Run>,
    /// The end of each example in `tokens` and in `runs`.
    ends: Vec<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    start: u32,
    end: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct End {
    tokens: usize,
    runs: usize,
}

/// A view of one of the [`Examples`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lesson<'a> {
    /// Its tokens.
    pub tokens: &'a [u32],
    runs: &'a [Run],
}

impl<'a> Lesson<'a> {
    /// The tokens before the first that is taught; all, if none is.
    pub fn prompt(self) -> &'a [u32] {
        &self.tokens[..self.taught().next().map_or(self.tokens.len(), |run| run.start)]
    }

    /// The ranges of taught tokens, in order, none of them empty.
    pub fn taught(self) -> impl Iterator<Item = Range<usize>> + 'a {
        self.runs.iter().map(|run| run.start as usize..run.end as usize)
    }

    /// True if a token is taught, and the first that is has a token before it, from which the model can predict it.
    pub fn teaches(self) -> bool {
        self.taught().next().is_some_and(|run| run.start > 0)
    }
}

impl Examples {
    /// Adds an example of these tokens, of which those in the ranges `taught` are taught; the ranges are in order and do not overlap.
    pub fn push(&mut self, tokens: &[u32], taught: &[Range<usize>]) {
        let short = |at: usize| u32::try_from(at.min(tokens.len())).unwrap_or(u32::MAX);
        let runs = taught.iter().map(|run| Run { start: short(run.start), end: short(run.end) });
        self.tokens.extend_from_slice(tokens);
        self.runs.extend(runs.filter(|run| run.start < run.end));
        self.ends.push(End { tokens: self.tokens.len(), runs: self.runs.len() });
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The example at an index below [`len`](Self::len).
    ///
    /// # Panics
    /// If there is no such example.
    pub fn at(&self, index: usize) -> Lesson<'_> {
        let start = if index == 0 { End::default() } else { self.ends[index - 1] };
        let end = self.ends[index];
        Lesson { tokens: &self.tokens[start.tokens..end.tokens], runs: &self.runs[start.runs..end.runs] }
    }

    /// All examples, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Lesson<'_>> {
        (0..self.len()).map(|index| self.at(index))
    }

    /// Takes the last example away.
    pub(crate) fn pop(&mut self) {
        self.ends.pop();
        let end = self.ends.last().copied().unwrap_or_default();
        self.tokens.truncate(end.tokens);
        self.runs.truncate(end.runs);
    }

    /// Cuts the end of the last example, so that it has at most `length` tokens.
    pub(crate) fn cut(&mut self, length: usize) {
        if let Some(last) = self.len().checked_sub(1) {
            let lesson = self.at(last);
            let tokens = lesson.tokens[..length.min(lesson.tokens.len())].to_vec();
            let taught: Vec<_> = lesson.taught().collect();
            self.pop();
            self.push(&tokens, &taught);
        }
    }

    /// The examples for whose index `belongs` is true.
    pub(crate) fn chosen(&self, belongs: impl Fn(usize) -> bool) -> Self {
        let mut chosen = Self::default();
        for index in (0..self.len()).filter(|&index| belongs(index)) {
            let lesson = self.at(index);
            chosen.tokens.extend_from_slice(lesson.tokens);
            chosen.runs.extend_from_slice(lesson.runs);
            chosen.ends.push(End { tokens: chosen.tokens.len(), runs: chosen.runs.len() });
        }
        chosen.fitted()
    }

    /// The same examples, in no more memory than they need.
    pub(crate) fn fitted(mut self) -> Self {
        self.tokens.shrink_to_fit();
        self.runs.shrink_to_fit();
        self.ends.shrink_to_fit();
        self
    }

    /// Bytes of memory that the examples take.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.tokens[..]) + size_of_val(&self.runs[..]) + size_of_val(&self.ends[..])
    }
}

impl FromIterator<Example> for Examples {
    fn from_iter<I: IntoIterator<Item = Example>>(examples: I) -> Self {
        let mut all = Self::default();
        for Example { prompt, completion } in examples {
            let tokens = [&prompt[..], &completion].concat();
            let taught = prompt.len()..tokens.len();
            all.push(&tokens, &[taught]);
        }
        all.fitted()
    }
}

impl From<Vec<Example>> for Examples {
    fn from(examples: Vec<Example>) -> Self {
        examples.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_as_they_were_put_in() {
        let mut examples = Examples::default();
        examples.push(&[1, 2, 3, 4, 5], &[1..2, 3..5]);
        examples.push(&[6], &[]);
        examples.push(&[7, 8], &[1..2, 2..2]);
        assert_eq!(examples.len(), 3);
        assert_eq!(examples.at(0).taught().collect::<Vec<_>>(), [1..2, 3..5]);
        assert_eq!(
            (examples.at(0).prompt(), examples.at(1).prompt(), examples.at(2).prompt()),
            (&[1][..], &[6][..], &[7][..])
        );
        assert_eq!(examples.iter().map(Lesson::teaches).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!(
            examples.chosen(|index| index != 1).iter().map(|lesson| lesson.tokens.len()).collect::<Vec<_>>(),
            [5, 2]
        );
        examples.pop();
        examples.pop();
        examples.cut(4);
        assert_eq!((examples.len(), examples.at(0).tokens), (1, &[1, 2, 3, 4][..]));
        assert_eq!(examples.at(0).taught().collect::<Vec<_>>(), [1..2, 3..4]);
        examples.cut(1);
        assert!(!examples.at(0).teaches());
    }
}
