//! Tokenizers: texts as token ids, and token ids as text.
//!
//! A [`Tokenizer`] is a value that is cheap to clone. There are two kinds: that of bytes, which the built-in bases read, and, with the feature
//! `huggingface`, that of a Hugging Face folder. The crate opens no file: the caller hands in the bytes of the folder's [`Files`].
//!
//! A tokenizer may have a chat template, which writes a conversation of [`Message`]s as the text that the model was trained on;
//! [`Tokenizer::conversation`] also says which tokens are the assistant's answers.

mod bytes;
mod chat;
mod error;
mod files;
#[cfg(feature = "huggingface")]
mod huggingface;
mod special;
mod stream;

#[cfg(feature = "huggingface")]
use std::sync::Arc;

pub use chat::{Message, Taught};
pub use error::{ChatError, TokenizerError, VocabularyError};
pub use files::Files;
pub use special::Special;
pub use stream::TextStream;

/// A tokenizer: a text is a sequence of token ids, each below the size of its vocabulary.
#[derive(Clone, Debug, Default)]
pub enum Tokenizer {
    /// A token is a byte of the text in UTF-8, its id the byte's value; there are 256, none of them special.
    #[default]
    Bytes,
    /// The tokenizer of a Hugging Face folder.
    #[cfg(feature = "huggingface")]
    HuggingFace(Arc<huggingface::HuggingFace>),
}

/// The tokens of a text or of a pair of texts, with the special tokens that the tokenizer adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// The token ids.
    pub tokens: Vec<u32>,
    /// For each token the `token_type_ids` of BERT: 0 in the first text, 1 in the second.
    pub types: Vec<u32>,
}

/// Calls the same method of each kind.
macro_rules! of_kind {
    ($tokenizer:expr, $bytes:expr, $name:ident => $real:expr) => {
        match $tokenizer {
            Tokenizer::Bytes => $bytes,
            #[cfg(feature = "huggingface")]
            Tokenizer::HuggingFace($name) => $real,
        }
    };
}

impl Tokenizer {
    /// Reads the tokenizer of a Hugging Face folder from the bytes of its files.
    ///
    /// # Errors
    /// If a file is damaged, the tokenizer is of an unknown kind or cannot encode every text, or the chat template has a syntax error; and
    /// always without the feature `huggingface`.
    pub fn from_files(files: &Files<'_>) -> Result<Self, TokenizerError> {
        #[cfg(feature = "huggingface")]
        return Ok(Self::HuggingFace(Arc::new(huggingface::HuggingFace::read(files)?)));
        #[cfg(not(feature = "huggingface"))]
        {
            let _ = files;
            Err(TokenizerError::NotBuilt)
        }
    }

    /// Number of tokens: one more than the largest id.
    pub fn vocabulary(&self) -> usize {
        of_kind!(self, bytes::VOCABULARY, real => real.vocabulary())
    }

    /// Checks that a model with a vocabulary of `found` tokens knows every token of this tokenizer. A model's embedding may have more rows than the
    /// tokenizer has tokens, since rows are often added until their number divides well; one that reads bytes has exactly 256.
    ///
    /// # Errors
    /// If the model has too few rows, or, for bytes, another number.
    pub fn check(&self, found: usize) -> Result<(), VocabularyError> {
        let needed = self.vocabulary();
        match self {
            Self::Bytes if found != needed => Err(VocabularyError::Bytes { found, needed }),
            _ if found < needed => Err(VocabularyError::TooSmall { found, needed }),
            _ => Ok(()),
        }
    }

    /// The token ids of a text, without the special tokens that the tokenizer adds around a text. A special token that is written in the text, such
    /// as `<|im_end|>`, becomes that token, as in Hugging Face's transformers.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        of_kind!(self, bytes::encode(text), real => real.encode(text, false))
    }

    /// The token ids of a text, with the special tokens that transformers' `tokenizer(text)` adds by default: none for many models, `<s>` for
    /// Llama 2, `[CLS]` and `[SEP]` for BERT.
    pub fn encode_with_special(&self, text: &str) -> Vec<u32> {
        of_kind!(self, bytes::encode(text), real => real.encode(text, true))
    }

    /// A text, or a pair of texts, as transformers' `tokenizer(text, pair)` encodes it, with the special tokens and the types of the tokens.
    /// Bytes of a pair follow each other.
    pub fn encode_pair(&self, text: &str, pair: Option<&str>) -> Encoded {
        of_kind!(self, bytes::encode_pair(text, pair), real => real.encode_pair(text, pair))
    }

    /// The token ids of a text that a model is to continue, with the special tokens that belong before it, at least one: an empty text becomes a newline,
    /// since a model predicts from a token and the texts of the built-in bases begin after one. An end token that the tokenizer adds is left away.
    pub fn encode_prompt(&self, text: &str) -> Vec<u32> {
        let mut tokens = self.encode_with_special(text);
        if tokens.last().is_some_and(|token| self.ends().contains(token)) && self.encode(text).last() != tokens.last() {
            tokens.pop();
        }
        if tokens.is_empty() { self.encode("\n") } else { tokens }
    }

    /// The bytes that the tokens stand for; those of a part of a text need not be whole UTF-8 for a tokenizer of bytes. There, a token outside
    /// the vocabulary is the byte 0xFF, which occurs nowhere in UTF-8; otherwise it stands for nothing.
    pub fn decode_bytes(&self, tokens: &[u32]) -> Vec<u8> {
        of_kind!(self, bytes::decode(tokens), real => real.decode(tokens, false).into_bytes())
    }

    /// The text of the tokens, special tokens included; bytes that are not UTF-8 become U+FFFD (�). White space is as the tokenizer's decoder leaves it
    /// (transformers' `clean_up_tokenization_spaces=False`).
    pub fn decode(&self, tokens: &[u32]) -> String {
        of_kind!(self, bytes::text(tokens), real => real.decode(tokens, false))
    }

    /// The text of the tokens without special tokens.
    pub fn decode_plain(&self, tokens: &[u32]) -> String {
        of_kind!(self, bytes::text(tokens), real => real.decode(tokens, true))
    }

    /// The text of tokens that come one by one; see [`TextStream`].
    pub fn stream(&self) -> TextStream {
        TextStream::new(self.clone())
    }

    /// The ids of the special tokens, as far as the files say them.
    pub fn special(&self) -> Special {
        of_kind!(self, Special::default(), real => real.special)
    }

    /// The tokens at which generation stops: `eos_token_id` of `generation_config.json`, of which there may be several, else of `config.json`; and
    /// the tokenizer's own `eos_token`, which ends a turn of a chat. Empty for bytes.
    pub fn ends(&self) -> &[u32] {
        of_kind!(self, &[], real => &real.ends)
    }

    /// The token to fill short sequences up with, which no result depends on: `pad_token`, else `eos_token`, else 0.
    pub fn padding(&self) -> u32 {
        let special = self.special();
        special.pad.or(special.eos).unwrap_or(0)
    }

    /// Bytes of UTF-8 that a token contributes to a text, to divide a loss by (bits per byte, which compares tokenizers).
    ///
    /// The bytes of the token's text: exact for bytes, for byte-level BPE and for tokens of byte fallback, where the sum over a text is the text's length.
    /// For SentencePiece `▁` counts one byte, a space, so a text is counted one byte too long where the tokenizer puts a space before it.
    /// For WordPiece the first token of a word counts the space before it, and the sum differs from the text's length where the tokenizer removes accents,
    /// changes case or drops white space. Special tokens count nothing; the unknown token counts one.
    pub fn bytes_of(&self, token: u32) -> usize {
        of_kind!(self, usize::from(token < 256), real => real.bytes_of(token))
    }

    /// True if the tokenizer can write conversations: [`conversation`](Tokenizer::conversation) and [`chat`](Tokenizer::chat).
    pub fn has_chat_template(&self) -> bool {
        of_kind!(self, false, real => real.template.is_some())
    }

    /// The text of a conversation, as transformers' `apply_chat_template(tokenize=False)` writes it. With `answering` it ends where the assistant's next
    /// answer begins (`add_generation_prompt`).
    ///
    /// # Errors
    /// If there is no chat template, or it refuses the messages, fails, or takes too long or too much memory.
    pub fn chat(&self, messages: &[Message], answering: bool) -> Result<String, ChatError> {
        of_kind!(self, { let _ = (messages, answering); Err(ChatError::NoTemplate) }, real => real.chat(messages, answering))
    }

    /// The tokens of a conversation to learn from: each with whether it belongs to an answer of the assistant, the token that ends the turn included.
    ///
    /// The answers are the texts that the template puts between `{% generation %}` and `{% endgeneration %}`; without such tags, the text that the
    /// message of an answer adds after the prompt for it. The special tokens are those that the template writes.
    ///
    /// # Errors
    /// Those of [`chat`](Tokenizer::chat); and if an answer cannot be found in the text.
    pub fn conversation(&self, messages: &[Message]) -> Result<Vec<Taught>, ChatError> {
        of_kind!(self, { let _ = messages; Err(ChatError::NoTemplate) }, real => real.conversation(messages))
    }
}

#[cfg(test)]
mod tests;
