//! Records from tables in plain text.

use std::collections::HashSet;

use csv::{Reader, ReaderBuilder, StringRecord};
use serde_json::Value;

use super::{Record, Visit};
use crate::{
    error::{Error, Place},
    format::Format,
    shape,
    table::Layout,
};

/// Rows that are looked at to tell a header and labels.
const ROWS: usize = 200;

/// A record for each row. The names of the fields are those in the header; a table without one has `sentence` and `label` (or `sentence1`, `sentence2`,
/// `label`) where one column holds labels and the others texts, else numbers from 1. Returns whether there is a header.
pub fn each(layout: Layout, text: &str, by_number: bool, visit: &mut Visit<'_>) -> Result<bool, Error> {
    let format = Format::Table(layout);
    let beginning: Vec<StringRecord> =
        reader(layout, text).records().take(ROWS).collect::<Result<_, _>>().map_err(|error| broken(format, &error))?;
    let Some(first) = beginning.first() else { return Err(Error::Empty) };
    let has_header = is_header(first, &beginning[1..], by_number);
    // Of one column, or in a file that is called a table and is none, only a header that is known shows that it is one.
    if first.len() < 2 && !names_a_role(first) {
        return Err(Error::Named { format });
    }
    let names: Vec<String> = match has_header {
        true => first.iter().map(|name| name.trim().to_owned()).collect(),
        false => nameless(&beginning).unwrap_or_else(|| (1..=first.len()).map(|at| at.to_string()).collect()),
    };
    if let Some(twice) = twice(&names) {
        let what = format!("two columns are called \"{twice}\"");
        return Err(Error::Syntax { place: "its header".to_owned(), format, what });
    }
    for row in reader(layout, text).records().skip(usize::from(has_header)) {
        let row = row.map_err(|error| broken(format, &error))?;
        let line = row.position().map_or(0, |position| position.line() as usize);
        if row.len() == 1 && row[0].trim().is_empty() {
            continue;
        }
        if row.len() != names.len() {
            let what = format!("it has {} values, but there are {} columns", row.len(), names.len());
            return Err(Error::Syntax { place: Place::Line(line).to_string(), format, what });
        }
        let values = row.iter().map(|value| Value::String(value.to_owned()));
        visit(Place::Line(line), names.iter().cloned().zip(values).collect::<Record>())?;
    }
    Ok(has_header)
}

fn reader(layout: Layout, text: &str) -> Reader<&[u8]> {
    let mut builder = ReaderBuilder::new();
    builder.has_headers(false).flexible(true).delimiter(layout.separator as u8).quoting(layout.quotes);
    builder.from_reader(text.as_bytes())
}

fn broken(format: Format, error: &csv::Error) -> Error {
    let place = error.position().map_or_else(|| "the file".to_owned(), |at| format!("line {}", at.line()));
    Error::Syntax { place, format, what: error.to_string() }
}

fn names_a_role(row: &StringRecord) -> bool {
    row.iter().any(|name| shape::is_role(name.trim()))
}

/// True if the first row names the columns: it has a name that is known, or no numbers above a column of numbers, or looks like names, unless columns
/// are called by their numbers.
fn is_header(first: &StringRecord, rest: &[StringRecord], by_number: bool) -> bool {
    if names_a_role(first) {
        return true;
    }
    let is_number = |value: &str| value.trim().parse::<f64>().is_ok();
    if first.iter().any(|name| name.trim().is_empty() || is_number(name)) {
        return false;
    }
    let column = |at: usize| rest.iter().filter_map(move |row| row.get(at));
    if !rest.is_empty() && (0..first.len()).any(|at| column(at).all(is_number)) {
        return true;
    }
    const LONGEST: usize = 30;
    let is_name = |name: &str| {
        let letters = name.chars().all(|c| c.is_alphanumeric() || "_- ".contains(c));
        letters && name.chars().count() <= LONGEST && name.split_whitespace().count() <= 3
    };
    let names: Vec<String> = first.iter().map(str::to_owned).collect();
    !by_number && twice(&names).is_none() && names.iter().all(|name| is_name(name.trim()))
}

/// The names of the columns of a table of labelled sentences or pairs that has no header.
fn nameless(rows: &[StringRecord]) -> Option<Vec<String>> {
    let columns = rows.first()?.len();
    // Labels are few, or numbers.
    let is_label = |at: &usize| {
        let values = || rows.iter().filter_map(|row| row.get(*at)).map(str::trim);
        let different = values().collect::<HashSet<_>>().len();
        values().all(|value| value.parse::<f64>().is_ok()) || different * 10 <= rows.len()
    };
    let labels: Vec<usize> = (0..columns).filter(is_label).collect();
    let texts: &[&str] = match columns {
        2 => &["sentence"],
        3 => &["sentence1", "sentence2"],
        _ => return None,
    };
    let [label] = labels[..] else { return None };
    let mut names: Vec<String> = texts.iter().map(|name| (*name).to_owned()).collect();
    names.insert(label, "label".to_owned());
    Some(names)
}

fn twice(names: &[String]) -> Option<&str> {
    let mut seen = HashSet::new();
    names.iter().map(String::as_str).find(|name| !seen.insert(*name))
}
