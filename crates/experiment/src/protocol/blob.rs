//! Bytes in a JSON text.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Bytes that are written in base64 (RFC 4648 §4): a third longer, where a list of numbers would be four times as long.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Blob(pub Vec<u8>);

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

impl Blob {
    /// The bytes in base64.
    pub fn to_base64(&self) -> String {
        let mut text = String::with_capacity(self.0.len().div_ceil(3) * 4);
        for bytes in self.0.chunks(3) {
            let three = bytes.iter().fold(0u32, |all, &byte| all << 8 | u32::from(byte)) << (8 * (3 - bytes.len()));
            for place in 0..4 {
                let six = (three >> (18 - 6 * place)) as usize & 63;
                text.push(if place <= bytes.len() { char::from(ALPHABET[six]) } else { '=' });
            }
        }
        text
    }

    /// The bytes that a text in base64 says; none if it is no such text.
    pub fn from_base64(text: &str) -> Option<Self> {
        let digits = text.trim_end_matches('=');
        if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
            return None;
        }
        // Looked up rather than searched for: a snapshot has millions of digits.
        let mut values = [None; 256];
        for (value, digit) in (0..).zip(ALPHABET) {
            values[usize::from(*digit)] = Some(value);
        }
        let value = |digit: &u8| -> Option<u32> { values[usize::from(*digit)] };
        let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
        for four in digits.as_bytes().chunks(4) {
            let bits =
                four.iter().try_fold(0u32, |all, digit| Some(all << 6 | value(digit)?))? << (6 * (4 - four.len()));
            bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
        }
        Some(Self(bytes))
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_base64())
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_base64(&text).ok_or_else(|| de::Error::custom("it is not base64"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")]
        {
            let blob = Blob(bytes.as_bytes().to_vec());
            assert_eq!(blob.to_base64(), text);
            assert_eq!(Blob::from_base64(text), Some(blob));
        }
        for text in ["Zg=", "Z", "====", "Zm9*"] {
            assert_eq!(Blob::from_base64(text), None, "{text}");
        }
        let all = Blob((0..=255).collect());
        assert_eq!(Blob::from_base64(&all.to_base64()), Some(all));
    }
}
