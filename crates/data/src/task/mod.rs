//! Tasks over the little world whose answers can be counted as right or wrong.

mod arithmetic;
mod questions;
mod translation;

use std::collections::HashSet;

use loralab_linalg::Draws;

use crate::error::Error;

/// Most bytes of a task's prompt and completion together: the default sequence length.
pub const EXAMPLE_BYTES: usize = 64;

/// A prompt and the completion that is wanted after it. The loss counts the completion only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Example {
    /// What the model is given, at least one byte.
    pub prompt: Vec<u8>,
    /// What it must go on with; the last byte is a newline, where generation stops.
    pub completion: Vec<u8>,
}

impl Example {
    fn new(prompt: String, completion: String) -> Self {
        Self { prompt: prompt.into_bytes(), completion: (completion + "\n").into_bytes() }
    }

    /// Bytes of prompt and completion together.
    pub fn length(&self) -> usize {
        self.prompt.len() + self.completion.len()
    }
}

/// What a base is finetuned for.
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

    /// `count` examples with different prompts, of at most [`EXAMPLE_BYTES`] each; fewer where the task has not so many prompts
    /// (arithmetic has 2500). The first examples are the same for every `count`.
    pub fn examples(self, seed: u64, count: usize) -> Vec<Example> {
        /// After so many known prompts in a row there are hardly any new ones left.
        const PATIENCE: usize = 1000;
        let mut draws = Draws::new(seed, &format!("task/{}", self.name()));
        let mut seen = HashSet::new();
        let mut examples = Vec::new();
        let mut repeated = 0;
        while examples.len() < count && repeated < PATIENCE {
            let example = self.example(&mut draws);
            if example.length() > EXAMPLE_BYTES {
                continue;
            }
            if seen.insert(example.prompt.clone()) {
                examples.push(example);
                repeated = 0;
            } else {
                repeated += 1;
            }
        }
        examples
    }

    fn example(self, draws: &mut Draws) -> Example {
        match self {
            Self::Translation => translation::example(draws),
            Self::Questions => questions::example(draws),
            Self::Arithmetic => arithmetic::example(draws),
        }
    }
}

#[cfg(test)]
mod tests;
