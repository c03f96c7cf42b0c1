//! The tokenizer of bytes.

use super::Encoded;

/// Number of bytes.
pub const VOCABULARY: usize = 256;

/// The bytes of a text.
pub fn encode(text: &str) -> Vec<u32> {
    text.bytes().map(u32::from).collect()
}

/// The bytes of a text, then those of its pair.
pub fn encode_pair(text: &str, pair: Option<&str>) -> Encoded {
    let pair = pair.unwrap_or_default();
    let types = [vec![0; text.len()], vec![1; pair.len()]].concat();
    Encoded { tokens: [encode(text), encode(pair)].concat(), types }
}

/// The bytes that tokens stand for; 0xFF for a token above 255.
pub fn decode(tokens: &[u32]) -> Vec<u8> {
    tokens.iter().map(|&token| u8::try_from(token).unwrap_or(0xFF)).collect()
}

/// The bytes as a text.
pub fn text(tokens: &[u32]) -> String {
    String::from_utf8_lossy(&decode(tokens)).into_owned()
}
