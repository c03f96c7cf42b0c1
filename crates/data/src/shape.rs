//! The shape of records: the fields that hold the text to read and the text to learn.

use loralab_tokenizer::Message;
use serde_json::Value;

use crate::{
    error::{Error, Place},
    format::Format,
    records::{Record, kind},
    template,
};

/// A mapping from roles, such as `prompt`, to the records' fields that have them. A role that is not in it has the field of its own name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// A mapping of these pairs, (role, field).
    ///
    /// # Errors
    /// If a role is unknown or is given twice; the error lists the known roles.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, Error> {
        let mut known: Vec<(String, String)> = Vec::new();
        for (role, field) in pairs {
            let why = match known.iter().any(|(other, _)| *other == role) {
                true => "that role is given twice".to_owned(),
                false if !is_role(&role) => format!("there is no role `{role}`; the roles are {}", roles().join(", ")),
                false => {
                    known.push((role, field));
                    continue;
                }
            };
            return Err(Error::Fields { role, field, why });
        }
        Ok(Self(known))
    }

    /// True if a field is given as the number of a table's column.
    pub fn are_numbers(&self) -> bool {
        self.0.iter().any(|(_, field)| field.parse::<usize>().is_ok())
    }

    /// Fails for the reason `why`, for data that have no fields.
    ///
    /// # Errors
    /// If the mapping has a role.
    pub(crate) fn refuse(&self, why: &str) -> Result<(), Error> {
        match self.0.first() {
            None => Ok(()),
            Some((role, field)) => Err(Error::Fields { role: role.clone(), field: field.clone(), why: why.to_owned() }),
        }
    }

    /// The field that has a role: the one that is given, else the one of the role's name.
    fn of<'a>(&'a self, role: &'a str) -> &'a str {
        self.0.iter().find(|(given, _)| given == role).map_or(role, |(_, field)| field)
    }

    fn gives(&self, role: &str) -> bool {
        self.0.iter().any(|(given, _)| given == role)
    }
}

/// The conversion of a record to a [`Said`]: the texts that are put around the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Completion,
    Messages,
    Conversations,
    Instruction,
    Question,
    Label,
}

/// A known shape: a set of fields that records have together.
#[derive(Debug, PartialEq, Eq)]
pub struct Shape {
    /// Its name: its fields, and the dataset it is known from.
    pub name: &'static str,
    kind: Kind,
    /// The roles that a record must have.
    needs: &'static [&'static str],
    /// Roles that a record, or a message in it, may have besides.
    takes: &'static [&'static str],
}

macro_rules! shapes {
    ($($name:literal $kind:ident $needs:tt $takes:tt;)+) => {
        &[$(Shape { name: $name, kind: Kind::$kind, needs: &$needs, takes: &$takes }),+]
    };
}

/// Every shape. The names of fields are those of the data sets that made them usual: TRL's prompt-completion and conversational formats, ShareGPT, Alpaca,
/// GSM8K, and GLUE with the sets like it (SST-2, CoLA; MRPC, RTE, STS-B; MNLI; QNLI; QQP; IMDB).
const SHAPES: &[Shape] = shapes! {
    "text" Text ["text"] [];
    "prompt/completion" Completion ["prompt", "completion"] [];
    "messages" Messages ["messages"] ["role", "content"];
    "conversations (ShareGPT)" Conversations ["conversations"] ["from", "value"];
    "instruction/input/output (Alpaca)" Instruction ["instruction", "output"] ["input"];
    "question/answer (GSM8K)" Question ["question", "answer"] [];
    "sentence/label" Label ["sentence", "label"] [];
    "text/label" Label ["text", "label"] [];
    "sentence1/sentence2/label" Label ["sentence1", "sentence2", "label"] [];
    "premise/hypothesis/label" Label ["premise", "hypothesis", "label"] [];
    "question/sentence/label" Label ["question", "sentence", "label"] [];
    "question1/question2/label" Label ["question1", "question2", "label"] [];
};

/// The names of all shapes, as a list.
pub fn known() -> String {
    SHAPES.iter().map(|shape| shape.name).collect::<Vec<_>>().join("; ")
}

fn roles() -> Vec<&'static str> {
    let mut roles = Vec::new();
    for role in SHAPES.iter().flat_map(|shape| shape.needs.iter().chain(shape.takes)) {
        if !roles.contains(role) {
            roles.push(*role);
        }
    }
    roles
}

/// True if this is the name of a role, so that a field of this name has that role unless another is given.
pub fn is_role(name: &str) -> bool {
    SHAPES.iter().any(|shape| shape.needs.contains(&name) || shape.takes.contains(&name))
}

/// The text of a record, by the parts of it that are learnt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A text; the loss counts all of it.
    Text(String),
    /// A prompt and a completion; the loss counts the completion.
    Completion(String, String),
    /// One or two texts, each with its role, and their label.
    Labelled(Vec<(&'static str, String)>, String),
    /// A conversation; the loss counts the assistant's messages.
    Messages(Vec<Message>),
}

impl Shape {
    /// The shape of the records of a file, by its first record.
    ///
    /// # Errors
    /// If none is known, more than one is, or the mapping names a field that the record does not have.
    pub fn of(record: &Record, fields: &Fields, format: Format) -> Result<&'static Self, Error> {
        let names = || record.keys().cloned().collect::<Vec<_>>();
        // The roles within messages are not fields of the record.
        let inside = |role: &str| ["role", "content", "from", "value"].contains(&role);
        if let Some((role, field)) = fields.0.iter().find(|(role, field)| !inside(role) && !record.contains_key(field))
        {
            let why = format!("the first record has the fields {}", names().join(", "));
            return Err(Error::Fields { role: role.clone(), field: field.clone(), why });
        }
        let can = |shape: &&Self| {
            let takes = |role: &str| shape.needs.contains(&role) || shape.takes.contains(&role);
            fields.0.iter().all(|(role, _)| takes(role))
                && shape.needs.iter().all(|role| record.contains_key(fields.of(role)))
        };
        let mut found: Vec<&'static Self> = SHAPES.iter().filter(can).collect();
        // A mapping that gives every role of a shape chooses that shape.
        let meant = |shape: &&Self| !fields.0.is_empty() && shape.needs.iter().all(|role| fields.gives(role));
        if found.iter().any(meant) {
            found.retain(meant);
        }
        let all = found.clone();
        let covers = |other: &Self, shape: &Self| {
            // Alpaca's files repeat the instruction, input and output as one field `text`, which is not read.
            let whole = shape.kind == Kind::Text && other.kind == Kind::Instruction;
            other != shape && (whole || shape.needs.iter().all(|role| other.needs.contains(role)))
        };
        found.retain(|shape| !all.iter().any(|other| covers(other, shape)));
        match found[..] {
            [shape] => Ok(shape),
            [] => Err(Error::Unknown { format, fields: names() }),
            _ => {
                let example = found[0].needs.iter().map(|role| format!("{role}={}", fields.of(role)));
                let example = example.collect::<Vec<_>>().join(",");
                Err(Error::Ambiguous {
                    fields: names(),
                    shapes: found.iter().map(|shape| shape.name).collect(),
                    example,
                })
            }
        }
    }

    /// True if its records have a label.
    pub fn has_labels(&self) -> bool {
        self.kind == Kind::Label
    }

    /// The text of a record of this shape.
    ///
    /// # Errors
    /// If a field is missing, empty or of the wrong kind: with the place of the record and the name of the field.
    pub fn read(&self, place: Place, record: &Record, fields: &Fields) -> Result<Said, Error> {
        self.said(record, fields).map_err(|what| Error::Record { place, what, needs: self.needs_in_words(fields) })
    }

    fn said(&self, record: &Record, fields: &Fields) -> Result<Said, String> {
        let text = |role: &str| text(record, fields.of(role));
        Ok(match self.kind {
            Kind::Text => Said::Text(text("text")?),
            Kind::Completion => Said::Completion(text("prompt")?, text("completion")?),
            Kind::Instruction => {
                let input = match record.get(fields.of("input")) {
                    None | Some(Value::Null) => String::new(),
                    Some(Value::String(input)) => input.clone(),
                    Some(other) => {
                        return Err(format!("the field \"{}\" is {}, not a string", fields.of("input"), kind(other)));
                    }
                };
                Said::Completion(template::alpaca(&text("instruction")?, &input), text("output")?)
            }
            Kind::Question => Said::Completion(template::question(&text("question")?), format!(" {}", text("answer")?)),
            Kind::Label => {
                let (label, texts) = self.needs.split_last().ok_or("no field is a label")?;
                let texts = texts.iter().map(|role| Ok((*role, text(role)?))).collect::<Result<Vec<_>, String>>()?;
                let label = label_text(record, fields.of(label))?;
                Said::Labelled(texts, label)
            }
            Kind::Messages => {
                Said::Messages(messages(record, fields.of("messages"), [fields.of("role"), fields.of("content")])?)
            }
            Kind::Conversations => {
                Said::Messages(messages(record, fields.of("conversations"), [fields.of("from"), fields.of("value")])?)
            }
        })
    }

    fn needs_in_words(&self, fields: &Fields) -> String {
        let field = |role: &&str| format!("\"{}\": \"...\"", fields.of(role));
        let whole = match self.kind {
            Kind::Messages | Kind::Conversations => {
                let [who, what] = [fields.of(self.takes[0]), fields.of(self.takes[1])];
                format!("\"{}\": [{{\"{who}\": \"user\", \"{what}\": \"...\"}}, ...]", fields.of(self.needs[0]))
            }
            _ => self.needs.iter().map(field).collect::<Vec<_>>().join(", "),
        };
        format!("each record must be like {{{whole}}}")
    }
}

/// The text of a field, which must have one.
fn text(record: &Record, field: &str) -> Result<String, String> {
    match record.get(field) {
        None | Some(Value::Null) => Err(format!("the field \"{field}\" is missing")),
        Some(Value::String(text)) if text.is_empty() => Err(format!("the field \"{field}\" is empty")),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(format!("the field \"{field}\" is {}, not a string", kind(other))),
    }
}

/// A label as a text: a number as JSON writes it.
fn label_text(record: &Record, field: &str) -> Result<String, String> {
    match record.get(field) {
        Some(label @ (Value::Number(_) | Value::Bool(_))) => Ok(label.to_string()),
        _ => text(record, field).map(|label| label.trim().to_owned()),
    }
}

fn messages(record: &Record, field: &str, [who, what]: [&str; 2]) -> Result<Vec<Message>, String> {
    let list = match record.get(field) {
        Some(Value::Array(list)) if !list.is_empty() => list,
        Some(Value::Array(_)) => return Err(format!("the field \"{field}\" is empty")),
        Some(other) => return Err(format!("the field \"{field}\" is {}, not a list", kind(other))),
        None => return Err(format!("the field \"{field}\" is missing")),
    };
    let mut messages = Vec::with_capacity(list.len());
    for (index, message) in list.iter().enumerate() {
        let within = |what: String| format!("in message {} of \"{field}\", {what}", index + 1);
        let Value::Object(message) = message else {
            return Err(format!("message {} of \"{field}\" is {}, not an object", index + 1, kind(message)));
        };
        let role = text(message, who).map_err(within)?;
        // A message may be empty: those of tools and systems, and those that call a tool.
        let content = match message.get(what) {
            Some(Value::String(content)) => content.clone(),
            _ => text(message, what).map_err(within)?,
        };
        messages.push(Message::new(canonical(role), content));
    }
    if !messages.iter().any(|message| message.is_answer() && !message.content.is_empty()) {
        return Err(format!("no message of \"{field}\" is the assistant's, so nothing is taught"));
    }
    Ok(messages)
}

/// The role by the name that chat templates use; ShareGPT has other names.
fn canonical(role: String) -> String {
    match role.as_str() {
        "human" => "user".to_owned(),
        "gpt" | "bot" | "model" | "chatbot" => "assistant".to_owned(),
        _ => role,
    }
}
