//! The tokenizer of a Hugging Face folder: `tokenizer.json` as the library `tokenizers` reads it, with what the files beside it add.

mod bytes;
mod read;
#[cfg(test)]
mod tests;

use tokenizers::Tokenizer as Library;

use crate::{
    ChatError, Encoded, Message, Special, Taught,
    chat::{answers, template::Template},
};

/// A tokenizer with its special tokens and its chat template.
#[derive(Clone, Debug)]
pub struct HuggingFace {
    library: Library,
    vocabulary: usize,
    pieces: bytes::Pieces,
    pub(crate) special: Special,
    pub(crate) ends: Vec<u32>,
    pub(crate) template: Option<Template>,
}

impl HuggingFace {
    /// One more than the largest id.
    pub(crate) fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    pub(crate) fn encode(&self, text: &str, special: bool) -> Vec<u32> {
        self.library.encode_fast(text, special).map_or_else(|_| self.unknown(), |encoding| encoding.get_ids().to_vec())
    }

    pub(crate) fn encode_pair(&self, text: &str, pair: Option<&str>) -> Encoded {
        let encoding = match pair {
            None => self.library.encode_fast(text, true),
            Some(pair) => self.library.encode_fast((text, pair), true),
        };
        encoding.map_or_else(
            |_| Encoded { tokens: self.unknown(), types: self.unknown().iter().map(|_| 0).collect() },
            |encoding| Encoded { tokens: encoding.get_ids().to_vec(), types: encoding.get_type_ids().to_vec() },
        )
    }

    /// The tokens of a text that the library fails to encode: the unknown token, if there is one. No such text is known, as each kind of model is
    /// checked to have a token for unknown characters.
    fn unknown(&self) -> Vec<u32> {
        self.special.unk.into_iter().collect()
    }

    pub(crate) fn decode(&self, tokens: &[u32], plain: bool) -> String {
        self.library.decode(tokens, plain).unwrap_or_else(|_| char::REPLACEMENT_CHARACTER.to_string())
    }

    pub(crate) fn bytes_of(&self, token: u32) -> usize {
        let Some(text) = self.library.id_to_token(token) else { return 0 };
        let added = self.library.get_added_vocabulary();
        if self.special.unk == Some(token) {
            1
        } else if added.is_special_token(&text) {
            0
        } else if added.simple_id_to_token(token).is_some() {
            text.len()
        } else {
            self.pieces.bytes(&text)
        }
    }

    pub(crate) fn chat(&self, messages: &[Message], answering: bool) -> Result<String, ChatError> {
        Ok(self.template.as_ref().ok_or(ChatError::NoTemplate)?.render(messages, answering)?.text)
    }

    pub(crate) fn conversation(&self, messages: &[Message]) -> Result<Vec<Taught>, ChatError> {
        let template = self.template.as_ref().ok_or(ChatError::NoTemplate)?;
        let ends: Vec<String> = self.ends.iter().filter_map(|&end| self.library.id_to_token(end)).collect();
        let found = answers::find(template, messages, &ends)?;
        let encoding = self.library.encode(found.text.as_str(), false);
        let encoding = encoding.map_err(|error| ChatError::Failed(error.to_string()))?;
        let taught = |&(start, end): &(usize, usize)| {
            end > start && found.spans.iter().any(|span| span.start <= start && start < span.end)
        };
        let tokens = encoding.get_ids().iter().zip(encoding.get_offsets());
        Ok(tokens.map(|(&token, place)| Taught { token, taught: taught(place) }).collect())
    }
}
