//! Tokenizers: texts as token ids, and token ids as text.

use thiserror::Error;

/// A tokenizer: a text is a sequence of token ids, each below the size of its vocabulary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tokenizer {
    /// A token is a byte of the text in UTF-8, its id the byte's value; there are 256.
    #[default]
    Bytes,
}

/// A model whose embedding has another number of rows than its tokenizer has tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "it has a vocabulary of {found} tokens, but only bases that read bytes ({needed} tokens) can be used; `loralab pretrain` makes one"
)]
pub struct VocabularyError {
    /// Tokens of the model.
    pub found: usize,
    /// Tokens of the tokenizer.
    pub needed: usize,
}

impl Tokenizer {
    /// Number of tokens.
    pub fn vocabulary(&self) -> usize {
        match self {
            Self::Bytes => 256,
        }
    }

    /// Checks that a model with a vocabulary of `found` tokens reads what this tokenizer makes.
    ///
    /// # Errors
    /// If the two numbers differ.
    pub fn check(&self, found: usize) -> Result<(), VocabularyError> {
        let needed = self.vocabulary();
        if found == needed { Ok(()) } else { Err(VocabularyError { found, needed }) }
    }

    /// The token ids of a text.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        match self {
            Self::Bytes => text.bytes().map(u32::from).collect(),
        }
    }

    /// The token ids of a text that a model is to continue, at least one: an empty text becomes a newline, since a model predicts from a token
    /// and the texts of the built-in bases begin after one.
    pub fn encode_prompt(&self, text: &str) -> Vec<u32> {
        self.encode(if text.is_empty() { "\n" } else { text })
    }

    /// The bytes that the tokens stand for; those of a part of a text need not be whole UTF-8. A token outside the vocabulary is the byte 0xFF,
    /// which occurs nowhere in UTF-8.
    pub fn decode_bytes(&self, tokens: &[u32]) -> Vec<u8> {
        match self {
            Self::Bytes => tokens.iter().map(|&token| u8::try_from(token).unwrap_or(0xFF)).collect(),
        }
    }

    /// The text of the tokens; bytes that are not UTF-8 become U+FFFD (�).
    pub fn decode(&self, tokens: &[u32]) -> String {
        String::from_utf8_lossy(&self.decode_bytes(tokens)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_back() {
        let text = "Anna – 3+4=7?\n";
        let tokens = Tokenizer::Bytes.encode(text);
        assert_eq!(tokens.len(), text.len());
        assert!(tokens.iter().all(|&token| (token as usize) < Tokenizer::Bytes.vocabulary()));
        assert_eq!(Tokenizer::Bytes.decode(&tokens), text);
    }

    #[test]
    fn tokens_that_are_not_text_are_replaced() {
        assert_eq!(Tokenizer::Bytes.decode(&[65, 0xC3, 66, 300]), "A\u{FFFD}B\u{FFFD}");
        assert_eq!(Tokenizer::Bytes.decode_bytes(&[65, 0xC3, 300]), [65, 0xC3, 0xFF]);
    }

    #[test]
    fn a_prompt_has_at_least_one_token() {
        assert_eq!(Tokenizer::Bytes.encode_prompt(""), [10]);
        assert_eq!(Tokenizer::Bytes.encode_prompt("ab"), [97, 98]);
    }

    #[test]
    fn a_base_needs_the_vocabulary_of_its_tokenizer() {
        assert_eq!(Tokenizer::Bytes.check(256), Ok(()));
        let error = Tokenizer::Bytes.check(300).expect_err("300 tokens are not bytes").to_string();
        assert!(error.starts_with("it has a vocabulary of 300 tokens") && error.contains("(256 tokens)"), "{error}");
    }
}
