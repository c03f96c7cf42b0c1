//! Answers that models write to questions of the data, compared with those that are wanted.

use anyhow::Result;
use loralab_core::{
    device::{Machine, wait},
    lab::{Generator, Question, exact_matches},
    lora::peft::Adapter,
    models::Base,
};
use loralab_tokenizer::Tokenizer;

use crate::adapter::{self, LONGEST_WINDOW};

/// Most tokens of an answer, unless asked for otherwise: GSM8K's have up to some 200.
pub const LONGEST_ANSWER: usize = 256;

/// A base with all that is needed to answer questions: its tokenizer, a machine and its limits.
pub struct Respondent<'a> {
    /// The base.
    pub base: &'a Base,
    /// Its name.
    pub name: &'a str,
    /// The tokenizer of its texts.
    pub tokenizer: &'a Tokenizer,
    /// The machine that the work is done on.
    pub machine: &'a Machine,
    /// Bytes of memory that may be used.
    pub available: u64,
    /// Questions that are asked at once, at most.
    pub batch_size: usize,
    /// Most tokens of an answer.
    pub count: usize,
}

impl Respondent<'_> {
    /// The number of questions that the base (`None`) and each adapter of it answers as wanted; `on_asked` gets the number of questions asked so far.
    ///
    /// # Errors
    /// If an adapter does not fit the base, or the device fails.
    pub fn right(
        &self,
        given: &[Option<&Adapter>],
        asked: &[Question],
        on_asked: impl FnMut(usize),
    ) -> Result<Vec<usize>> {
        let longest = asked.iter().map(|question| question.prompt.len()).max().unwrap_or(0) + self.count;
        let window = self.base.model.longest().min(LONGEST_WINDOW).min(longest).max(1);
        // Logits of every position are there at once, in two copies.
        let of_one = 8 * (given.len() * window * self.base.model.vocabulary()) as u64;
        let at_once = (self.available / 2 / of_one.max(1)).clamp(1, self.batch_size as u64) as usize;
        let make_device = |plan, base| self.machine.make(plan, base);
        let generator = Generator::new(self.base, given, at_once, LONGEST_WINDOW, &make_device);
        let mut generator = wait(generator).map_err(|error| adapter::explained(error, self.name))?;
        adapter::note_left_alone(&generator);
        Ok(wait(exact_matches(&mut generator, given.len(), asked, at_once, self.count, self.tokenizer, on_asked))?)
    }
}
