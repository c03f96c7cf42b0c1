//! Batches: what a step of training or validation reads.

use std::ops::Range;

use loralab_linalg::Draws;

use loralab_tokenizer::Tokenizer;

use crate::confusion::Confusion;
use crate::dataset::{Dataset, share};
use crate::error::Error;
use crate::example::Lesson;
use crate::labelled::{Label, LabelledText};

/// B sequences of T tokens. All arrays but `examples` are (B, T), row-major, or empty where it says so.
///
/// An example fills the start of a sequence, packed ones follow each other; tokens 0 of weight 0 fill the rest. Sequences of a text have no padding.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The tokens the model reads.
    pub tokens: Vec<u32>,
    /// For each position the token that follows it.
    pub targets: Vec<u32>,
    /// 1 / (number of counted positions of the batch) where the target counts, and exactly 0 elsewhere, so that the weighted sum of the
    /// losses is their mean over the counted positions.
    pub weights: Vec<f32>,
    /// For each position the number, from 1, of the example of its sequence that it belongs to, and 0 for padding. Attention keeps examples apart by it.
    pub segments: Vec<u32>,
    /// For each position its place in its example, from 0; padding goes on counting.
    pub positions: Vec<u32>,
    /// For each position the text of a pair that its token belongs to, 0 or 1; empty for data without labels.
    pub types: Vec<u32>,
    /// The score of a sequence at its first position; empty for data without scores.
    pub expected: Vec<f32>,
    /// The number of classes, if the target at a sequence's first position is the number of its class; else 0.
    pub classes: usize,
    /// For each sequence the index in the dataset of the one example it holds; none for a text, for a pack and for padding.
    pub examples: Vec<Option<usize>>,
    /// Number of positions whose target counts.
    pub counted: usize,
}

/// The number of examples that a model reproduced exactly, and the number of those it was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExactMatches {
    /// Examples whose completion was right to the last token.
    pub matched: usize,
    /// Examples there were.
    pub examples: usize,
}

impl ExactMatches {
    /// The fraction that matched; none if there were no examples.
    pub fn fraction(self) -> Option<f64> {
        (self.examples > 0).then(|| self.matched as f64 / self.examples as f64)
    }
}

impl std::ops::AddAssign for ExactMatches {
    fn add_assign(&mut self, other: Self) {
        self.matched += other.matched;
        self.examples += other.examples;
    }
}

impl Batch {
    /// A batch of padding, to be filled.
    fn empty(sequences: usize, tokens: usize) -> Self {
        let positions = sequences * tokens;
        Self {
            tokens: vec![0; positions],
            targets: vec![0; positions],
            weights: vec![0.0; positions],
            segments: vec![0; positions],
            positions: (0..positions).map(|position| (position % tokens.max(1)) as u32).collect(),
            types: vec![],
            expected: vec![],
            classes: 0,
            examples: vec![None; sequences],
            counted: 0,
        }
    }

    /// The same for sequences of a dataset, which may have labels.
    fn of(dataset: &Dataset, sequences: usize, tokens: usize) -> Self {
        let mut batch = Self::empty(sequences, tokens);
        if let Some(texts) = dataset.labelled() {
            batch.types = vec![0; batch.tokens.len()];
            match texts.labels().names() {
                Some(names) => batch.classes = names.len(),
                None => batch.expected = vec![0.0; batch.tokens.len()],
            }
        }
        batch
    }

    /// Number of sequences B.
    pub fn sequences(&self) -> usize {
        self.examples.len()
    }

    /// Counts the exactly matched examples. `correct` is (B, T): 1 where the most probable token is the target, or where the weight is 0.
    ///
    /// An example matches if all its counted positions are correct. They were computed with the true completion as input, yet that
    /// says what greedy decoding would write: if all are correct, then by induction each token it writes is the true one, so its input
    /// never differs; and at the first that is not, it writes a wrong token.
    pub fn exact_matches(&self, correct: &[f32]) -> ExactMatches {
        let rows = correct.chunks(correct.len() / self.sequences().max(1));
        let mut matches = ExactMatches::default();
        for (row, _) in rows.zip(&self.examples).filter(|(_, example)| example.is_some()) {
            matches.examples += 1;
            matches.matched += usize::from(row.iter().all(|&correct| correct == 1.0));
        }
        matches
    }

    /// Counts the answers where there are two classes, else none. `correct` is as for [`exact_matches`](Self::exact_matches).
    pub fn confusion(&self, correct: &[f32]) -> Option<Confusion> {
        if self.classes != 2 {
            return None;
        }
        let tokens = self.tokens.len() / self.sequences().max(1);
        let mut table = Confusion::default();
        for (sequence, _) in self.examples.iter().enumerate().filter(|(_, example)| example.is_some()) {
            let first = sequence * tokens;
            let truth = self.targets[first].min(1) as usize;
            let said = if correct[first] == 1.0 { truth } else { 1 - truth };
            table.counts[truth][said] += 1;
        }
        Some(table)
    }

    /// The score given to each text and the score that is wanted, where there are scores; else none. `given` is (B, T), and counts at the first position of
    /// a sequence.
    pub fn scores(&self, given: &[f32]) -> Vec<(f32, f32)> {
        let tokens = self.tokens.len() / self.sequences().max(1);
        let held = self.examples.iter().enumerate().filter(|(_, example)| example.is_some());
        let first = held.map(|(sequence, _)| sequence * tokens);
        first.filter_map(|first| Some((*given.get(first)?, *self.expected.get(first)?))).collect()
    }

    /// The same batch with an equal weight for each token of a text: what statistics of a model's values are taken over. Only labelled texts differ, whose
    /// loss counts a row for each text.
    #[must_use]
    pub fn of_all_tokens(mut self) -> Self {
        if !self.types.is_empty() {
            self.counted = self.segments.iter().filter(|segment| **segment != 0).count();
            self.weights = self.segments.iter().map(|&segment| f32::from(u8::from(segment != 0))).collect();
            return self.weighted();
        }
        self
    }

    /// Bytes of the text whose tokens count, to divide a sum of losses by: bits per byte compare tokenizers, nats per token do not.
    pub fn counted_bytes(&self, tokenizer: &Tokenizer) -> usize {
        let counted = self.targets.iter().zip(&self.weights).filter(|(_, weight)| **weight != 0.0);
        counted.map(|(target, _)| tokenizer.bytes_of(*target)).sum()
    }

    /// Writes `tokens` and their successors to a sequence from position `at` on, as its example number `segment`; the targets among `tokens` with an index
    /// in `taught` count. Returns the position after the last.
    fn fill(
        &mut self,
        sequence: usize,
        at: usize,
        segment: u32,
        tokens: &[u32],
        taught: impl Iterator<Item = Range<usize>>,
    ) -> usize {
        let start = sequence * (self.tokens.len() / self.sequences()) + at;
        for (position, pair) in tokens.windows(2).enumerate() {
            self.tokens[start + position] = pair[0];
            self.targets[start + position] = pair[1];
            self.segments[start + position] = segment;
            self.positions[start + position] = position as u32;
        }
        // A token is predicted where the one before it is read.
        for run in taught {
            let counted = run.start.max(1) - 1..run.end.max(1) - 1;
            self.counted += counted.len();
            self.weights[start..][counted].fill(1.0);
        }
        at + tokens.len().saturating_sub(1)
    }

    fn fill_window(&mut self, sequence: usize, window: &[u32]) {
        self.fill(sequence, 0, 1, window, std::iter::once(0..window.len()));
    }

    fn fill_example(&mut self, sequence: usize, index: usize, lesson: Lesson<'_>) {
        self.fill(sequence, 0, 1, lesson.tokens, lesson.taught());
        self.examples[sequence] = Some(index);
    }

    fn fill_labelled(&mut self, sequence: usize, index: usize, text: LabelledText<'_>) {
        let start = sequence * (self.tokens.len() / self.sequences());
        let rows = start..start + text.tokens.len();
        self.tokens[rows.clone()].copy_from_slice(text.tokens);
        self.types[rows.clone()].copy_from_slice(text.types);
        self.segments[rows].fill(1);
        match text.label {
            Label::Class(class) => self.targets[start] = class,
            Label::Score(score) => self.expected[start] = score,
        }
        self.weights[start] = 1.0;
        self.counted += 1;
        self.examples[sequence] = Some(index);
    }

    fn fill_pack<'a>(&mut self, sequence: usize, lessons: impl Iterator<Item = Lesson<'a>>) {
        let mut at = 0;
        for (segment, lesson) in (1..).zip(lessons) {
            at = self.fill(sequence, at, segment, lesson.tokens, lesson.taught());
        }
    }

    /// Writes a sequence of a dataset, by its index.
    fn fill_from(&mut self, sequence: usize, dataset: &Dataset, index: usize, tokens: usize) {
        match dataset {
            Dataset::Text(text) => self.fill_window(sequence, &text[index * tokens..=(index + 1) * tokens]),
            Dataset::Examples(examples) => self.fill_example(sequence, index, examples.at(index)),
            Dataset::Labelled(texts) => self.fill_labelled(sequence, index, texts.at(index)),
            Dataset::Packed(packed) => {
                let lesson = |index: &u32| packed.examples().at(*index as usize);
                self.fill_pack(sequence, packed.pack(index).iter().map(lesson));
            }
        }
    }

    /// Turns the ones among the weights into shares of 1.
    fn weighted(mut self) -> Self {
        let share = 1.0 / self.counted as f32;
        for weight in self.weights.iter_mut().filter(|weight| **weight != 0.0) {
            *weight = share;
        }
        self
    }
}

/// Bytes of text per token that counts, over some batches; none if the tokens that count stand for no text.
pub fn bytes_per_token(batches: &[Batch], tokenizer: &Tokenizer) -> Option<f64> {
    let bytes: usize = batches.iter().map(|batch| batch.counted_bytes(tokenizer)).sum();
    let counted: usize = batches.iter().map(|batch| batch.counted).sum();
    (bytes > 0).then(|| bytes as f64 / counted as f64)
}

/// Draws the batches of a run: which data a step sees is a pure function of (dataset, seed, step), so a run can go on anywhere, and
/// runs of one seed see the same.
///
/// Examples, or packs of them, come without replacement within an epoch, in an order drawn from (seed, epoch); a batch may reach into the next epoch.
/// Windows of a text start anywhere, with replacement.
#[derive(Clone, Debug)]
pub struct Sampler<'a> {
    dataset: &'a Dataset,
    seed: u64,
    sequences: usize,
    tokens: usize,
    /// The last epoch's order, which the next batch nearly always needs again.
    order: Option<(u64, Vec<usize>)>,
}

impl<'a> Sampler<'a> {
    /// For batches of `sequences` sequences of `tokens` tokens.
    ///
    /// # Errors
    /// If either is 0, or the dataset [does not fit](Dataset::fits).
    pub fn new(dataset: &'a Dataset, seed: u64, sequences: usize, tokens: usize) -> Result<Self, Error> {
        check(dataset, sequences, tokens)?;
        Ok(Self { dataset, seed, sequences, tokens, order: None })
    }

    /// The batch of a step, counted from 0. Any step at any time; going on in order is cheapest.
    pub fn batch(&mut self, step: u64) -> Batch {
        let mut batch = Batch::of(self.dataset, self.sequences, self.tokens);
        match self.dataset {
            Dataset::Text(text) => {
                let mut draws = Draws::new(self.seed, &format!("text windows/{step}"));
                let offsets = u32::try_from(text.len() - self.tokens).unwrap_or(u32::MAX);
                for sequence in 0..self.sequences {
                    let start = draws.below(offsets) as usize;
                    batch.fill_window(sequence, &text[start..=start + self.tokens]);
                }
            }
            dataset => {
                let held = dataset.sequences(self.tokens);
                let count = held as u64;
                for sequence in 0..self.sequences {
                    let place = step * self.sequences as u64 + sequence as u64;
                    let index = self.order(place / count, held)[(place % count) as usize];
                    batch.fill_from(sequence, dataset, index, self.tokens);
                }
            }
        }
        batch.weighted()
    }

    fn order(&mut self, epoch: u64, count: usize) -> &[usize] {
        let seed = self.seed;
        let draw = || {
            let mut order: Vec<usize> = (0..count).collect();
            Draws::new(seed, &format!("epoch/{epoch}")).shuffle(&mut order);
            (epoch, order)
        };
        let known = self.order.take().filter(|(known, _)| *known == epoch);
        &self.order.insert(known.unwrap_or_else(draw)).1
    }
}

/// The batches of a validation, in fixed order: at most `limit` sequences, spread evenly over the data. A text gives windows that do not
/// overlap. The last batch may end in padding of weight 0, so the mean loss over all batches is their losses weighted by
/// [`Batch::counted`].
///
/// # Errors
/// If `sequences` or `tokens` is 0, or the dataset [does not fit](Dataset::fits).
pub fn validation(dataset: &Dataset, sequences: usize, tokens: usize, limit: usize) -> Result<Vec<Batch>, Error> {
    check(dataset, sequences, tokens)?;
    let chosen = spread(dataset.sequences(tokens), limit);
    let batches = chosen.chunks(sequences).map(|chosen| {
        let mut batch = Batch::of(dataset, sequences, tokens);
        for (sequence, &index) in chosen.iter().enumerate() {
            batch.fill_from(sequence, dataset, index, tokens);
        }
        batch.weighted()
    });
    Ok(batches.collect())
}

/// At most `limit` of so many indices, spread evenly.
pub fn spread(available: usize, limit: usize) -> Vec<usize> {
    let count = available.min(limit);
    (0..count).map(|place| share(available, place, count)).collect()
}

fn check(dataset: &Dataset, sequences: usize, tokens: usize) -> Result<(), Error> {
    let positions = sequences.checked_mul(tokens).and_then(|positions| u32::try_from(positions).ok());
    match positions {
        None | Some(0) => Err(Error::BatchShape { sequences, tokens }),
        Some(_) => dataset.fits(tokens),
    }
}

#[cfg(test)]
mod tests;
