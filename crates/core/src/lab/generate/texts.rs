//! Texts that are continued, and the rows of a pass over some of their tokens.

use loralab_linalg::Draws;

use super::Sampling;
use crate::{device::Inputs, graph::memory::InputName};

/// A text that is continued.
pub struct Text {
    /// Its tokens, those of the prompt first.
    pub tokens: Vec<u32>,
    /// Tokens of the prompt.
    pub prompt: usize,
    /// The random numbers that choose its tokens.
    pub draws: Draws,
    /// True if it is not continued any more.
    pub ended: bool,
}

impl Text {
    /// The text of a prompt; one that has ended where there is none.
    pub fn new(prompt: Option<&Vec<u32>>, sampling: &Sampling, index: usize) -> Text {
        let tokens = prompt.cloned().unwrap_or_else(|| vec![0]);
        Text { prompt: tokens.len(), tokens, draws: sampling.draws(index), ended: prompt.is_none() }
    }

    /// The last tokens, as many as a window has.
    pub fn seen(&self, window: usize) -> &[u32] {
        &self.tokens[self.tokens.len().saturating_sub(window)..]
    }
}

/// The rows of one run in a pass.
#[derive(Default)]
pub struct Rows {
    tokens: Vec<u32>,
    positions: Vec<u32>,
}

impl Rows {
    /// Adds `width` rows of a text, those of `tokens` at the positions from `start` on. Where the text ends before, the rows have token 0: none of the text's
    /// own sees them, and their keys are overwritten before a later one does.
    pub fn push(&mut self, start: usize, tokens: &[u32], width: usize) {
        self.tokens.extend(tokens.iter().copied().chain(std::iter::repeat(0)).take(width));
        self.positions.extend((start..start + width).map(|position| position as u32));
    }

    /// The inputs of the run.
    pub fn inputs(&self) -> Inputs<'_> {
        Inputs::new().with(InputName::Tokens, &self.tokens).with(InputName::Positions, &self.positions)
    }
}
