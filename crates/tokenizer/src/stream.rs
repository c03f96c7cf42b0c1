//! The text of tokens that come one by one.

use super::Tokenizer;

/// Number of tokens after which a text is returned even if it ends in U+FFFD. A character is at most four bytes, each of which may be a token; the
/// one before it may be U+FFFD itself.
const LONGEST_WAIT: usize = 8;

/// Writes a text token by token. A token's text depends on those before it: a character may be spread over several tokens, and some tokenizers write a
/// space between words only. So the last tokens are decoded together, and the text that was returned before is removed.
#[derive(Clone, Debug)]
pub struct TextStream {
    tokenizer: Tokenizer,
    /// The tokens of the text that was returned last, then those that have come since.
    tokens: Vec<u32>,
    /// The number of `tokens` whose text was returned.
    said: usize,
}

impl TextStream {
    pub(crate) fn new(tokenizer: Tokenizer) -> Self {
        Self { tokenizer, tokens: vec![], said: 0 }
    }

    /// The text that the next token adds; empty as long as a character is not whole. Special tokens add nothing.
    pub fn push(&mut self, token: u32) -> String {
        self.tokens.push(token);
        let whole = self.tokenizer.decode_plain(&self.tokens);
        if whole.ends_with('\u{FFFD}') && self.tokens.len() - self.said < LONGEST_WAIT {
            return String::new();
        }
        self.rest(&whole)
    }

    /// The text that is left when no token follows: an unfinished character becomes U+FFFD (�).
    pub fn finish(&mut self) -> String {
        let whole = self.tokenizer.decode_plain(&self.tokens);
        self.rest(&whole)
    }

    fn rest(&mut self, whole: &str) -> String {
        let before = self.tokenizer.decode_plain(&self.tokens[..self.said]);
        // Some decoders change the end of a text when more follows; text that was returned stays.
        let same: usize =
            whole.chars().zip(before.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
        let new = whole[same..].to_owned();
        if !new.is_empty() {
            self.tokens.drain(..self.said);
            self.said = self.tokens.len();
        }
        new
    }
}
