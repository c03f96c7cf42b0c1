//! Records from Apache Parquet: a record for each row, whose fields are the columns. Lists of structs, such as messages, become lists of objects.
//!
//! The crate `parquet` reads the rows. It takes much that a file says for granted: it panics where parts of a damaged file contradict each other, so
//! each call is caught; and it allocates what a header says, so [`footer`] and [`pages`] compare the sizes with the bytes that there are.

mod compact;
mod footer;
mod pages;

use std::{
    cell::Cell,
    panic::{self, AssertUnwindSafe, catch_unwind},
    sync::Once,
};

use bytes::Bytes;
use pages::RowGroup;
use parquet::{
    errors::ParquetError,
    file::{metadata::ParquetMetaDataReader, reader::RowGroupReader},
    record::Field,
};
use serde_json::{Number, Value};

use super::{Record, Visit};
use crate::{
    error::{Error, Place},
    format::Format,
};

/// Most letters of the library's message that are repeated: it may print all bytes of a value.
const LONGEST_MESSAGE: usize = 200;

/// Visits the rows of a file, in order. A page of each column is in memory at a time, beside a copy of the file.
pub fn each(bytes: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
    let whole = |what| broken("the file".to_owned(), what);
    footer::check(bytes).map_err(whole)?;
    let file = Bytes::copy_from_slice(bytes);
    let metadata = caught(|| ParquetMetaDataReader::new().parse_and_finish(&file)).map_err(whole)?;
    let mut seen = 0;
    for group in metadata.row_groups() {
        pages::check(group)?;
        let reader = RowGroup { file: file.clone(), metadata: group.clone() };
        let mut rows = caught(|| reader.get_row_iter(None)).map_err(whole)?;
        while let Some(row) = caught(|| rows.next().transpose()).map_err(|what| broken(row_after(seen), what))? {
            seen += 1;
            let record = row.into_columns().into_iter().map(|(name, field)| (name, value(field))).collect::<Record>();
            visit(Place::Record(seen), record)?;
        }
    }
    Ok(())
}

fn row_after(seen: usize) -> String {
    Place::Record(seen + 1).to_string()
}

fn broken(place: String, what: String) -> Error {
    Error::Syntax { place, format: Format::Parquet, what }
}

thread_local! {
    /// True while the library is called, whose panics are told as errors.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Calls the library, whose panic is an error, too, and prints nothing.
fn caught<T>(call: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |fault| {
            if !QUIET.get() {
                before(fault);
            }
        }));
    });
    QUIET.set(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    QUIET.set(false);
    result.map_or_else(|_| Err("its parts contradict each other".to_owned()), |result| result.map_err(message))
}

/// The library's message, without the words that each begins with.
fn message(error: ParquetError) -> String {
    let whole = error.to_string();
    let what = whole.split_once(": ").map_or(&whole[..], |(_, what)| what);
    match what.char_indices().nth(LONGEST_MESSAGE) {
        Some((end, _)) => format!("{}…", &what[..end]),
        None => what.to_owned(),
    }
}

/// A field as JSON has it. Times, dates and decimals are texts. Bytes that are no text, such as an image, are null: no record is made of them.
fn value(field: Field) -> Value {
    // The shortest digits that stand for an f32 are those that were written, 3.8 and not 3.7999999523162842.
    let decimal = |text: String| text.parse().ok().and_then(Number::from_f64).map_or(Value::Null, Value::Number);
    match field {
        Field::Null => Value::Null,
        Field::Bool(value) => Value::Bool(value),
        Field::Byte(number) => Value::from(number),
        Field::Short(number) => Value::from(number),
        Field::Int(number) => Value::from(number),
        Field::Long(number) => Value::from(number),
        Field::UByte(number) => Value::from(number),
        Field::UShort(number) => Value::from(number),
        Field::UInt(number) => Value::from(number),
        Field::ULong(number) => Value::from(number),
        Field::Float16(number) => decimal(number.to_string()),
        Field::Float(number) => decimal(number.to_string()),
        Field::Double(number) => Value::from(number),
        Field::Str(text) => Value::String(text),
        Field::Bytes(bytes) => {
            std::str::from_utf8(bytes.data()).map_or(Value::Null, |text| Value::String(text.to_owned()))
        }
        Field::Group(row) => row.into_columns().into_iter().map(|(name, field)| (name, value(field))).collect(),
        Field::ListInternal(list) => list.elements().iter().cloned().map(value).collect(),
        Field::MapInternal(map) => {
            let entry = |(key, field): &(Field, Field)| {
                let key = value(key.clone());
                (key.as_str().map_or_else(|| key.to_string(), str::to_owned), value(field.clone()))
            };
            map.entries().iter().map(entry).collect()
        }
        other => Value::String(other.to_string()),
    }
}
