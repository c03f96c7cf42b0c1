//! Tasks over the little world whose answers can be counted as right or wrong.

mod arithmetic;
pub(crate) mod dialect;
mod questions;
mod translation;

use std::collections::HashSet;

use loralab_linalg::Draws;
use loralab_tokenizer::Tokenizer;

use crate::{error::Error, example::Example};

/// Most bytes of the text of a task's prompt and completion together: the default sequence length.
pub const EXAMPLE_BYTES: usize = 64;

/// A synthetic task that a base is finetuned for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Task {
    /// A sentence of the little world into a dialect.
    #[default]
    Translation,
    /// A question about a story of one or two sentences.
    Questions,
    /// The sum of two numbers up to 49.
    Arithmetic,
}

impl Task {
    /// All tasks, the default first.
    pub const ALL: [Self; 3] = [Self::Translation, Self::Questions, Self::Arithmetic];

    /// The name it has in files, flags and links.
    pub fn name(self) -> &'static str {
        match self {
            Self::Translation => "translation",
            Self::Questions => "questions",
            Self::Arithmetic => "arithmetic",
        }
    }

    /// One line for a person who chooses.
    pub fn about(self) -> &'static str {
        match self {
            Self::Translation => {
                "Say a sentence of the little world in a dialect: Anna took the cup. → Anna taket ze cup."
            }
            Self::Questions => "Answer a question about a very short story: Ben ran to the inn. Where is Ben? → inn",
            Self::Arithmetic => "Add two numbers up to 49: 3+14= → 17",
        }
    }

    /// The task of that name.
    ///
    /// # Errors
    /// [`Error::UnknownTask`] if there is none; it lists those there are.
    pub fn find(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|task| task.name() == name)
            .ok_or_else(|| Error::UnknownTask { name: name.to_owned() })
    }

    /// `count` examples with different prompts, of at most [`EXAMPLE_BYTES`] of text each; fewer where the task has not so many prompts
    /// (arithmetic has 2500). The first examples are the same for every `count`, their texts for every tokenizer.
    pub fn examples(self, tokenizer: &Tokenizer, seed: u64, count: usize) -> Vec<Example> {
        /// After so many known prompts in a row there are hardly any new ones left.
        const PATIENCE: usize = 1000;
        let mut draws = Draws::new(seed, &format!("task/{}", self.name()));
        let mut seen = HashSet::new();
        let mut examples = Vec::new();
        let mut repeated = 0;
        while examples.len() < count && repeated < PATIENCE {
            let (prompt, completion) = self.example(&mut draws);
            // With the newline that ends it.
            if prompt.len() + completion.len() + 1 > EXAMPLE_BYTES {
                continue;
            }
            let example = Example::new(&prompt, &completion, tokenizer);
            if seen.insert(prompt) {
                examples.push(example);
                repeated = 0;
            } else {
                repeated += 1;
            }
        }
        examples
    }

    /// The texts of a prompt and its completion, without a newline at the end.
    fn example(self, draws: &mut Draws) -> (String, String) {
        match self {
            Self::Translation => translation::example(draws),
            Self::Questions => questions::example(draws),
            Self::Arithmetic => arithmetic::example(draws),
        }
    }
}

#[cfg(test)]
mod tests;
