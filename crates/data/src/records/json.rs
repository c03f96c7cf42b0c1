//! Records from JSON lines, and from JSON: a list of objects, an object that holds one under `data`, or an object that is one record.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer,
};
use serde::{Deserialize, de};
use serde_json::Value;

use super::{Record, Visit};
use crate::{
    error::{Error, Place},
    format::Format,
};

/// The name under which a file of JSON may hold its records.
const DATA: &str = "data";

/// Visits the records of JSON lines: an object in each line; blank lines are left out.
pub fn lines(text: &str, visit: &mut Visit<'_>) -> Result<(), Error> {
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = Place::Line(index + 1);
        match serde_json::from_str::<Value>(line) {
            Ok(Value::Object(record)) => visit(place, record)?,
            Ok(other) => return Err(not_an_object(place, &other)),
            // The parser sees one line only, so its own line number would mislead.
            Err(error) => {
                let what = format!("{} at column {}", reason(&error), error.column());
                return Err(Error::Syntax { place: place.to_string(), format: Format::Json, what });
            }
        }
    }
    Ok(())
}

/// Visits the records of all JSON values in a text, which follow one another.
pub fn values(text: &str, visit: &mut Visit<'_>) -> Result<(), Error> {
    let mut ends = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let (mut start, mut seen, mut failed) = (0, 0, None);
    let at = |start: usize, error: &serde_json::Error| {
        let line = text[..start].matches('\n').count() + error.line();
        let place = format!("line {line}, column {}", error.column());
        Error::Syntax { place, format: Format::Json, what: reason(error) }
    };
    while let Some(value) = ends.next() {
        value.map_err(|error| at(0, &error))?;
        let end = ends.byte_offset();
        let mut parser = serde_json::Deserializer::from_str(&text[start..end]);
        let read = Records { visit, seen: &mut seen, failed: &mut failed }.deserialize(&mut parser);
        if let Some(error) = failed.take() {
            return Err(error);
        }
        read.map_err(|error| at(start, &error))?;
        start = end;
    }
    Ok(())
}

/// The parser's message without the position, which it counts from the beginning of the text that it was given.
fn reason(error: &serde_json::Error) -> String {
    let what = error.to_string();
    what.split(" at line ").next().unwrap_or(&what).to_owned()
}

fn not_an_object(place: Place, found: &Value) -> Error {
    let what = format!("{} is no record", super::kind(found));
    Error::Record { place, what, needs: "each must be an object, such as {\"text\": \"...\"}".to_owned() }
}

/// Reads one value and visits the records in it.
struct Records<'a, 'v> {
    visit: &'a mut Visit<'v>,
    seen: &'a mut usize,
    failed: &'a mut Option<Error>,
}

impl Records<'_, '_> {
    fn take(&mut self, value: Value) -> Result<(), ()> {
        *self.seen += 1;
        let place = Place::Record(*self.seen);
        let taken = match value {
            Value::Object(record) => (self.visit)(place, record),
            other => Err(not_an_object(place, &other)),
        };
        taken.map_err(|error| *self.failed = Some(error))
    }
}

impl<'de> DeserializeSeed<'de> for Records<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Records<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects, or an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while let Some(value) = list.next_element()? {
            self.take(value).map_err(|()| de::Error::custom("a record is refused"))?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, map: A) -> Result<(), A::Error> {
        let mut record = Record::deserialize(MapAccessDeserializer::new(map))?;
        let records = match record.get_mut(DATA) {
            Some(Value::Array(records)) => std::mem::take(records),
            _ => vec![Value::Object(record)],
        };
        records
            .into_iter()
            .try_for_each(|value| self.take(value))
            .map_err(|()| de::Error::custom("a record is refused"))
    }
}
