//! Bounds of a template's work and memory. The library minijinja bounds instructions and depth. It does not bound the length of a string that grows
//! by concatenation, which doubles with every instruction; a string can only go on growing if it is kept, so [`guard`] measures what each `set`
//! keeps, and [`write()`] what is written. The filters and methods that lengthen a string many times at once are measured before they run.

use std::{
    fmt,
    sync::atomic::{AtomicUsize, Ordering},
};

use minijinja::{Environment, Error, ErrorKind, Output, State, Value, value::Object, value::ValueKind};

/// Most instructions of one rendering. A message takes about a hundred.
pub const INSTRUCTIONS: u64 = 10_000_000;
/// Deepest nesting of loops and macros; a call of a macro counts four.
pub const DEPTH: usize = 64;
/// Most bytes of a rendered text or of a value that a template keeps.
const BYTES: usize = 16 << 20;
/// Bytes that an element of a list counts as.
const ELEMENT: usize = 64;
/// Most spaces that a filter puts before a line.
const INDENTATION: usize = 64;

const WORK: &str = "does not end";
const MEMORY: &str = "writes without end";

/// The number of bytes that a rendering has written.
#[derive(Debug, Default)]
struct Written(AtomicUsize);

impl Object for Written {}

/// Adds the filter that measures kept values, and filters with bounded results in the place of the library's.
pub fn install(environment: &mut Environment<'static>) {
    environment.add_filter("kept", kept);
    environment.add_filter("replace", |text: &str, from: &str, to: &str| {
        replacement(text, from, to)?;
        Ok::<_, Error>(text.replace(from, to))
    });
    environment.add_filter("join", |list: &Value, between: Option<&str>| -> Result<String, Error> {
        let (mut text, between) = (Limited { text: String::new(), left: BYTES }, between.unwrap_or_default());
        for (index, item) in list.try_iter()?.enumerate() {
            let between = if index > 0 { between } else { "" };
            fmt::write(&mut text, format_args!("{between}{item}")).map_err(|_| too_long())?;
        }
        Ok(text.text)
    });
    environment.add_filter("indent", indent);
}

/// Refuses a method that would make a string many times as long.
pub fn method(value: &Value, name: &str, arguments: &[Value]) -> Result<(), Error> {
    match (value.as_str(), name, arguments) {
        (Some(text), "replace", [from, to, ..]) => {
            replacement(text, from.as_str().unwrap_or_default(), to.as_str().unwrap_or_default())
        }
        (Some(text), "join", [list]) => {
            let length = list.len().unwrap_or(0).saturating_mul(text.len()).saturating_add(size(list, BYTES));
            if length > BYTES { Err(too_long()) } else { Ok(()) }
        }
        (Some(_), "format", _) => {
            Err(Error::new(ErrorKind::UnknownMethod, "str.format is not available in a chat template"))
        }
        _ => Ok(()),
    }
}

/// Writes a value, as long as the text stays within bounds.
pub fn write(output: &mut Output, state: &State, value: &Value) -> Result<(), Error> {
    let written = state.get_or_set_temp_object("written", Written::default);
    let left = BYTES.saturating_sub(written.0.load(Ordering::Relaxed));
    if let Some(text) = value.as_str() {
        if text.len() > left {
            return Err(too_long());
        }
        written.0.fetch_add(text.len(), Ordering::Relaxed);
        return Ok(output.write_str(text)?);
    }
    let mut limited = Limited { text: String::new(), left };
    fmt::write(&mut limited, format_args!("{value}")).map_err(|_| too_long())?;
    written.0.fetch_add(limited.text.len(), Ordering::Relaxed);
    Ok(output.write_str(&limited.text)?)
}

/// The bound that was exceeded, as the end of a sentence.
pub fn exceeded(error: &Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::OutOfFuel => Some(WORK),
        ErrorKind::InvalidOperation if error.detail() == Some(MEMORY) => Some(MEMORY),
        ErrorKind::InvalidOperation if error.detail().is_some_and(|what| what.contains("recursion limit")) => {
            Some(WORK)
        }
        ErrorKind::InvalidOperation if error.detail().is_some_and(|what| what.contains("too large")) => Some(MEMORY),
        _ => std::error::Error::source(error).and_then(|cause| cause.downcast_ref()).and_then(exceeded),
    }
}

/// The library's sentence with the line, without its invented file name.
pub fn plain(error: &Error) -> String {
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    error.line().map_or(what.clone(), |line| format!("{what} (line {line})"))
}

/// Puts the value of each `{% set name = value %}` through the filter that measures it.
pub fn guard(source: &str) -> String {
    let mut guarded = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(begin) = rest.find(['{']) {
        let (before, at) = rest.split_at(begin);
        guarded.push_str(before);
        let length = if at.starts_with("{#") {
            at.find("#}").map_or(at.len(), |end| end + 2)
        } else if at.starts_with("{%") {
            tag(at)
        } else {
            1
        };
        match assignment(&at[..length]) {
            Some((name, value, end)) => guarded.push_str(&format!("{name}(({value})) | kept{end}")),
            None => guarded.push_str(&at[..length]),
        }
        rest = &at[length..];
    }
    guarded + rest
}

/// The length of the tag at the beginning of a text, `%}` included; strings in it may contain that, too.
fn tag(text: &str) -> usize {
    let mut quote = None;
    let bytes = text.as_bytes();
    let mut at = 2;
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(_), b'\\') => at += 1,
            (Some(open), byte) if byte == open => quote = None,
            (None, byte @ (b'"' | b'\'')) => quote = Some(byte),
            (None, b'%') if bytes.get(at + 1) == Some(&b'}') => return at + 2,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// The parts of a tag that assigns a value: all up to the value, the value, and the rest.
fn assignment(tag: &str) -> Option<(&str, &str, &str)> {
    let inside = tag.strip_prefix("{%")?.trim_start_matches(['-', '+']).trim_start().strip_prefix("set")?;
    let name = inside.trim_start_matches(|c: char| c.is_alphanumeric() || "_., \t\r\n()".contains(c));
    let value = name.strip_prefix('=').filter(|value| !value.starts_with('='))?;
    let end = value.strip_suffix("%}")?.trim_end_matches(['-', '+']).len();
    let start = tag.len() - value.len();
    Some((&tag[..start], &value[..end], &value[end..]))
}

/// Jinja's `indent`: spaces before each line, of the first and of blank ones only if asked.
fn indent(text: &str, width: Option<usize>, first: Option<bool>, blank: Option<bool>) -> Result<String, Error> {
    let width = width.unwrap_or(4);
    if width > INDENTATION || text.len().saturating_mul(width + 1) > BYTES {
        return Err(too_long());
    }
    let spaces = " ".repeat(width);
    let lines = text.split('\n').enumerate().map(|(index, line)| {
        let asked = if index == 0 { first } else { blank.filter(|_| line.is_empty()).or(Some(!line.is_empty())) };
        if asked.unwrap_or(false) { format!("{spaces}{line}") } else { line.to_owned() }
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

fn kept(value: Value) -> Result<Value, Error> {
    if size(&value, BYTES) > BYTES { Err(too_long()) } else { Ok(value) }
}

/// Bytes of a value, about; the count ends where it exceeds `most`.
fn size(value: &Value, most: usize) -> usize {
    if let Some(text) = value.as_str() {
        return text.len();
    }
    if !matches!(value.kind(), ValueKind::Seq | ValueKind::Map) {
        return ELEMENT;
    }
    let mut sum = ELEMENT;
    for item in value.try_iter().into_iter().flatten() {
        if sum > most {
            break;
        }
        let held = if value.kind() == ValueKind::Map { value.get_item(&item).ok() } else { None };
        sum += size(&item, most - sum.min(most)) + held.map_or(0, |held| size(&held, most - sum.min(most)));
    }
    sum
}

/// True if a replacement would be too long.
fn replacement(text: &str, from: &str, to: &str) -> Result<(), Error> {
    let found = if from.is_empty() { text.len() + 1 } else { text.matches(from).count() };
    if text.len().saturating_add(found.saturating_mul(to.len())) > BYTES { Err(too_long()) } else { Ok(()) }
}

fn too_long() -> Error {
    Error::new(ErrorKind::InvalidOperation, MEMORY)
}

/// A text that refuses to become longer than its limit.
struct Limited {
    text: String,
    left: usize,
}

impl fmt::Write for Limited {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        self.left = self.left.checked_sub(more.len()).ok_or(fmt::Error)?;
        self.text.push_str(more);
        Ok(())
    }
}
