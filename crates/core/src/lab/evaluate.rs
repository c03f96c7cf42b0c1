//! Evaluation of a base and adapters of it on the same data, side by side: a cohort that is not trained.
//!
//! The loss and the accuracy of tokens come from one pass over the data with the true tokens as input. Answers are written token by token by a
//! [`Generator`], and compared as [`loralab_data::answer`] says.

use std::sync::Arc;

use loralab_data::{Batch, Examples, answer};
use loralab_tokenizer::{TextStream, Tokenizer};

use super::{
    GenerateError, Generator, MakeDevice, Request,
    generate::{LoadedAdapter, all_adapters},
    train::{Validation, validate_in_groups},
};
use crate::{
    graph::{
        plan::{Plan, Shape},
        tape::{Purpose, Tape},
    },
    lora::peft::Adapter,
    models::{Base, Training},
};

/// A base and adapters of it that are evaluated together.
pub struct Evaluator {
    base: Base,
    plan: Arc<Plan>,
    loaded: Vec<LoadedAdapter>,
}

impl Evaluator {
    /// An evaluator of these adapters, each a run, on batches of `sequences` sequences of `tokens` tokens; `None` is the base itself.
    ///
    /// # Errors
    /// If an adapter does not fit the base, or one of several belongs to quantised weights.
    pub fn new(
        base: &Base,
        given: &[Option<&Adapter>],
        sequences: usize,
        tokens: usize,
    ) -> Result<Evaluator, GenerateError> {
        let (base, adapters) = all_adapters(base, given)?;
        let frozen_pairs =
            given.iter().flatten().any(|adapter| adapter.modules.iter().any(|module| module.frozen.is_some()));
        let mut tape = Tape::new(Shape { runs: given.len(), sequences, tokens }, frozen_pairs);
        base.model.record(&mut tape, Training::Adapters(&base, &adapters));
        let plan = Arc::new(tape.compile(Purpose::Evaluate));
        let loaded = given.iter().map(|adapter| LoadedAdapter::new(&plan, *adapter)).collect();
        Ok(Evaluator { base, plan, loaded })
    }

    /// The plan of a pass over a batch, from which its memory follows.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The validation of each run on these batches, in order; `on_group` gets the number of batches that are done, now and then.
    ///
    /// # Errors
    /// If the device fails.
    pub async fn validate(
        &self,
        batches: &[Batch],
        make_device: MakeDevice<'_>,
        on_group: impl FnMut(usize),
    ) -> Result<Vec<Option<Validation>>, GenerateError> {
        // Enough for a GPU to be busy, few enough to be told about.
        const AT_A_TIME: usize = 8;
        let mut device = make_device(self.plan.clone(), self.base.tensors.clone()).await?;
        self.loaded.iter().enumerate().for_each(|(run, loaded)| loaded.put(&mut *device, run));
        Ok(validate_in_groups(&mut *device, self.loaded.len(), batches, AT_A_TIME, on_group).await?)
    }
}

/// An example as a question with the answer that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The tokens before the first that is taught.
    pub prompt: Vec<u32>,
    /// The text of the first run of taught tokens.
    pub wanted: String,
}

/// The questions in the examples of these indices.
pub fn questions(examples: &Examples, indices: &[usize], tokenizer: &Tokenizer) -> Vec<Question> {
    let question = |&index: &usize| {
        let lesson = examples.at(index);
        let taught = lesson.taught().next()?;
        let wanted = tokenizer.decode_plain(&lesson.tokens[taught]);
        Some(Question { prompt: lesson.prompt().to_vec(), wanted })
    };
    indices.iter().filter_map(question).collect()
}

/// The number of questions that each run of a generator answers as wanted, by the likeliest tokens; `at_once` of them are asked in one pass, which the
/// generator must be made for. An answer ends as soon as it is known to be right or wrong, and after `count` tokens. `on_asked` gets the number of questions
/// that were asked so far.
///
/// # Errors
/// If a logit is not finite, or the device fails.
///
/// # Panics
/// If `at_once` is more than the generator was made for.
pub async fn exact_matches(
    generator: &mut Generator<'_>,
    runs: usize,
    questions: &[Question],
    at_once: usize,
    count: usize,
    tokenizer: &Tokenizer,
    mut on_asked: impl FnMut(usize),
) -> Result<Vec<usize>, GenerateError> {
    let mut right = vec![0; runs];
    let request = Request { count, ends: tokenizer.ends().to_vec(), ..Request::default() };
    for (pass, asked) in questions.chunks(at_once.max(1)).enumerate() {
        let prompts: Vec<Vec<u32>> = asked.iter().map(|question| question.prompt.clone()).collect();
        let mut answers: Vec<Vec<Answer>> =
            (0..runs).map(|_| asked.iter().map(|question| Answer::new(question, tokenizer)).collect()).collect();
        let written =
            generator.generate(&prompts, &request, |run, prompt, token| answers[run][prompt].goes_on(token)).await?;
        for (right, texts) in right.iter_mut().zip(&written) {
            let is_right = |(question, tokens): &(&Question, &Vec<u32>)| {
                answer::is_right(&tokenizer.decode_plain(tokens), &question.wanted)
            };
            *right += asked.iter().zip(texts).filter(is_right).count();
        }
        on_asked((pass * at_once.max(1) + asked.len()).min(questions.len()));
    }
    Ok(right)
}

/// An answer that is being written.
struct Answer<'a> {
    wanted: &'a str,
    text: TextStream,
    written: String,
    /// Lines of an answer for which no token is the end.
    lines: Option<usize>,
}

impl<'a> Answer<'a> {
    fn new(question: &'a Question, tokenizer: &Tokenizer) -> Answer<'a> {
        let lines = question.wanted.matches('\n').count().max(1);
        Answer {
            wanted: &question.wanted,
            text: tokenizer.stream(),
            written: String::new(),
            lines: tokenizer.ends().is_empty().then_some(lines),
        }
    }

    /// Adds a token; false if nothing that follows can change if the answer is right.
    fn goes_on(&mut self, token: u32) -> bool {
        self.written += &self.text.push(token);
        if answer::has_mark(self.wanted) {
            return !answer::is_over(&self.written, self.wanted);
        }
        let is_whole = self.lines.is_some_and(|lines| self.written.matches('\n').count() >= lines);
        !is_whole && self.wanted.trim().starts_with(self.written.trim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of bytes of a text that an answer takes.
    fn taken(text: &str, wanted: &str) -> usize {
        let question = Question { prompt: vec![], wanted: wanted.to_owned() };
        let mut answer = Answer::new(&question, &Tokenizer::Bytes);
        text.bytes().position(|byte| !answer.goes_on(byte.into())).map_or(text.len(), |last| last + 1)
    }

    #[test]
    fn an_answer_is_written_until_its_worth_is_known() {
        assert_eq!(taken("the inn\nand", "the inn\n"), "the inn\n".len());
        assert_eq!(taken("the mill\n", "the inn\n"), "the m".len());
        assert_eq!(taken("one\ntwo\nthree\n", "one\ntwo\n"), "one\ntwo\n".len());
        assert_eq!(taken("so\nit is #### 7\nmore", "2 + 5\n#### 7\n"), "so\nit is #### 7\n".len());
        assert_eq!(taken("a\nb\nc", "#### 7"), 5);
    }

    #[test]
    fn a_question_is_what_stands_before_its_answer() {
        let mut examples = Examples::default();
        examples.push(&Tokenizer::Bytes.encode("1+1=2\n3"), &[4..6, 6..7]);
        let found = questions(&examples, &[0], &Tokenizer::Bytes);
        assert_eq!(found, [Question { prompt: Tokenizer::Bytes.encode("1+1="), wanted: "2\n".to_owned() }]);
    }
}
