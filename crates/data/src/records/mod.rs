//! Records, one by one, from the formats that hold them.

mod json;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(feature = "tables")]
mod table;

use serde_json::{Map, Value};

use crate::{
    error::{Error, Place},
    format::Format,
    text::utf8,
};

/// A record: values by the names of their fields.
pub type Record = Map<String, Value>;

/// The function that is called with each record and its position; its error refuses the record and ends the reading.
pub type Visit<'v> = dyn FnMut(Place, Record) -> Result<(), Error> + 'v;

/// Calls `visit` with each record of a file, in order; no more than one is held in memory at a time, but for JSON whose outermost value is an object.
/// Returns what the file holds, in words that follow "from".
///
/// `by_number` is true if `fields` names the columns of a table by their numbers, as for one without a header.
///
/// # Errors
/// If the file breaks the rules of its format, has no records or is not read by this build; and the first error of `visit`.
pub fn each(format: Format, bytes: &[u8], by_number: bool, visit: &mut Visit<'_>) -> Result<String, Error> {
    let words = format.words().to_owned();
    match format {
        Format::Text => return Err(Error::Empty),
        Format::JsonLines => json::lines(utf8(bytes)?, visit)?,
        Format::Json => json::values(utf8(bytes)?, visit)?,
        #[cfg(feature = "tables")]
        Format::Table(layout) => {
            if !table::each(layout, utf8(bytes)?, by_number, visit)? {
                return Ok(words + " without a header");
            }
        }
        #[cfg(feature = "parquet")]
        Format::Parquet => parquet::each(bytes, visit)?,
        #[cfg(not(all(feature = "parquet", feature = "tables")))]
        _ => {
            let _ = by_number;
            return Err(Error::NotBuilt { format });
        }
    }
    Ok(words)
}

/// The kind of a JSON value in words, with an article, for messages.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
