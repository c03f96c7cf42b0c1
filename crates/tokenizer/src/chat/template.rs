//! A chat template: a Jinja program, rendered as Hugging Face's transformers does (`utils/chat_template_utils.py`): blocks are trimmed, `tojson` is
//! Python's, strings and dictionaries have Python's methods, loops have `break` and `continue`.
//!
//! A template is somebody else's program. It is given the messages and the names of the special tokens, no file and no clock (`strftime_now` is not
//! defined; templates that ask for the date only where there is one use a fixed date then), and a bounded amount of work and memory ([`bounds`]).

use std::panic::{AssertUnwindSafe, catch_unwind};

use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, Value, context, value::ValueKind};

use super::{Message, bounds, json};
use crate::{ChatError, TokenizerError};

/// Marks before and after a text that the template declares as generated: noncharacters, which no text that is interchanged contains.
const BEGIN: &str = "\u{FDD0}";
const END: &str = "\u{FDD1}";
/// The mark before and after the message of a template's `raise_exception` within the library's error.
const REFUSED: &str = "\u{FDD2}";

/// A compiled chat template.
#[derive(Clone, Debug)]
pub struct Template {
    environment: Environment<'static>,
    special_tokens: Value,
    marks: bool,
}

/// A rendered conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// The bytes of the text that the template marks as generated; `None` if it marks nothing.
    pub generated: Option<Vec<std::ops::Range<usize>>>,
}

impl Template {
    /// Compiles the template of `file`. `special_tokens` are the names that the template sees (`bos_token`, …) with their texts.
    pub fn new(
        source: &str,
        file: &'static str,
        special_tokens: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, TokenizerError> {
        let marks = source.contains("endgeneration");
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_fuel(Some(bounds::INSTRUCTIONS));
        environment.set_recursion_limit(bounds::DEPTH);
        environment.set_formatter(format);
        environment.set_unknown_method_callback(method);
        environment.add_filter("tojson", json::tojson);
        bounds::install(&mut environment);
        environment.add_filter("generated", |text: &str| format!("{BEGIN}{text}{END}"));
        environment.add_function("raise_exception", |what: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, format!("{REFUSED}{what}{REFUSED}")))
        });
        environment
            .add_template_owned("chat", bounds::guard(&tags(source)))
            .map_err(|error| TokenizerError::Template { file, what: bounds::plain(&error) })?;
        Ok(Self { environment, special_tokens: special_tokens.into_iter().collect(), marks })
    }

    /// Writes the messages as a text; with `answering` (`add_generation_prompt`) the beginning of an answer follows them.
    pub fn render(&self, messages: &[Message], answering: bool) -> Result<Rendered, ChatError> {
        let context = context! {
            messages => Value::from_serialize(messages),
            add_generation_prompt => answering,
            tools => (),
            documents => (),
            ..self.special_tokens.clone()
        };
        let template = self.environment.get_template("chat").map_err(|error| sentence(&error))?;
        // The library panics on a few harmless values, such as an empty list that is reversed.
        let rendered = catch_unwind(AssertUnwindSafe(|| template.render(context)));
        let rendered =
            rendered.map_err(|_| ChatError::Failed("its program does not suit these messages".to_owned()))?;
        let marked = rendered.map_err(|error| sentence(&error))?;
        Ok(if self.marks { unmarked(&marked) } else { Rendered { text: marked, generated: None } })
    }
}

/// Replaces the tags `generation` and `endgeneration`, which transformers adds to Jinja, by a filter block that marks its text.
fn tags(source: &str) -> String {
    if !source.contains("endgeneration") {
        return source.to_owned();
    }
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(begin) = rest.find("{%") {
        let (before, tag) = rest.split_at(begin);
        let end = tag.find("%}").map_or(tag.len(), |end| end + 2);
        let word = tag[2..end].trim_end_matches("%}").trim_matches(['-', '+']).trim();
        let new = match word {
            "generation" => tag[..end].replacen("generation", "filter generated", 1),
            "endgeneration" => tag[..end].replacen("endgeneration", "endfilter", 1),
            _ => tag[..end].to_owned(),
        };
        text.push_str(before);
        text.push_str(&new);
        rest = &tag[end..];
    }
    text + rest
}

/// Removes the marks from a text, and keeps the ranges of bytes that were between them.
fn unmarked(marked: &str) -> Rendered {
    let mut rendered = Rendered { text: String::with_capacity(marked.len()), generated: Some(vec![]) };
    let mut begin = None;
    let mut rest = marked;
    while let Some(at) = rest.find([BEGIN, END].map(first)) {
        rendered.text.push_str(&rest[..at]);
        let here = rendered.text.len();
        if rest[at..].starts_with(BEGIN) {
            begin = Some(here);
        } else if let (Some(begin), Some(ranges)) = (begin.take(), &mut rendered.generated) {
            ranges.push(begin..here);
        }
        rest = &rest[at + BEGIN.len()..];
    }
    rendered.text.push_str(rest);
    rendered
}

fn first(text: &str) -> char {
    text.chars().next().unwrap_or_default()
}

/// Writes a value as Python's `str` does; the library writes `true` and `none`.
fn format(output: &mut Output, state: &State, value: &Value) -> Result<(), Error> {
    let word = match value.kind() {
        ValueKind::None => Some("None"),
        ValueKind::Bool => Some(if value.is_true() { "True" } else { "False" }),
        _ => None,
    };
    match word {
        Some(word) => Ok(output.write_str(word)?),
        None => bounds::write(output, state, value),
    }
}

/// Python's methods of strings, lists and dictionaries.
fn method(state: &State, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    bounds::method(value, name, arguments)?;
    minijinja_contrib::pycompat::unknown_method_callback(state, value, name, arguments)
}

/// The library's error as a [`ChatError`].
fn sentence(error: &Error) -> ChatError {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(this) = cause {
        if let Some(what) = this.to_string().split(REFUSED).nth(1) {
            return ChatError::Refused(what.to_owned());
        }
        cause = this.source();
    }
    match bounds::exceeded(error) {
        Some(bound) => ChatError::Bomb(bound),
        None => ChatError::Failed(bounds::plain(error)),
    }
}
