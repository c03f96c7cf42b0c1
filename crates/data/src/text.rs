//! Bytes as a text.

use crate::error::Error;

/// The bytes as a text, without the byte-order mark that some programs begin one with.
///
/// # Errors
/// If there are none, or they are no UTF-8 or have a zero byte (with the offset).
pub fn utf8(bytes: &[u8]) -> Result<&str, Error> {
    const MARK: &str = "\u{feff}";
    let wide = match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16"),
        _ => None,
    };
    if let Some(encoding) = wide {
        return Err(Error::Wide { encoding });
    }
    let binary = |offset: usize| Error::Binary { offset, byte: bytes[offset] };
    let text = std::str::from_utf8(bytes).map_err(|error| binary(error.valid_up_to()))?;
    if let Some(offset) = text.find('\0') {
        return Err(binary(offset));
    }
    let text = text.strip_prefix(MARK).unwrap_or(text);
    if text.is_empty() { Err(Error::Empty) } else { Ok(text) }
}
