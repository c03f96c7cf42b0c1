//! Bytes that a piece of the vocabulary stands for.

use serde_json::Value;

/// The form in which the pieces of a vocabulary are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pieces {
    /// Each character is a byte (byte-level BPE, GPT-2).
    Bytes,
    /// `▁` is a space (SentencePiece); `<0x0A>` is a byte.
    Metaspace,
    /// A piece that begins with `##` continues a word (WordPiece).
    Continued,
    /// The text itself.
    Plain,
}

impl Pieces {
    /// The form that the decoder and the model of a `tokenizer.json` show.
    pub fn of(decoder: &Value, model: &str) -> Self {
        let said = decoder.to_string();
        if said.contains("\"ByteLevel\"") {
            Self::Bytes
        } else if said.contains("\"Metaspace\"") || said.contains('▁') || said.contains("\"ByteFallback\"") {
            Self::Metaspace
        } else if model == "WordPiece" {
            Self::Continued
        } else {
            Self::Plain
        }
    }

    /// Bytes of the text that a piece stands for.
    pub fn bytes(self, piece: &str) -> usize {
        match self {
            Self::Bytes => piece.chars().count(),
            Self::Metaspace if is_byte(piece) => 1,
            Self::Metaspace => piece.replace('▁', " ").len(),
            Self::Continued => piece.strip_prefix("##").map_or_else(|| piece.len() + 1, str::len),
            Self::Plain => piece.len(),
        }
    }
}

/// True for a piece of byte fallback.
fn is_byte(piece: &str) -> bool {
    let digits = piece.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    digits.is_some_and(|digits| digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
}
