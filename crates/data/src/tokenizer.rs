//! The tokenizer of the built-in bases: a token is a byte.

/// Number of tokens.
pub const VOCABULARY: usize = 256;

/// Each byte as a token.
pub fn encode(text: impl AsRef<[u8]>) -> Vec<u32> {
    text.as_ref().iter().map(|&byte| u32::from(byte)).collect()
}

/// The text of the tokens. What is no UTF-8, and any token of 256 or more, becomes U+FFFD (�).
pub fn decode(tokens: &[u32]) -> String {
    // 0xFF occurs nowhere in UTF-8.
    let bytes: Vec<u8> = tokens.iter().map(|&token| u8::try_from(token).unwrap_or(0xFF)).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back() {
        let text = "Anna – 3+4=7?\n";
        assert_eq!(encode(text).len(), text.len());
        assert_eq!(decode(&encode(text)), text);
    }

    #[test]
    fn what_is_no_text_is_replaced() {
        assert_eq!(decode(&[65, 0xC3, 66, 300]), "A\u{FFFD}B\u{FFFD}");
    }
}
