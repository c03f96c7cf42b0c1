//! Errors in data.

use std::fmt;

use thiserror::Error;

use crate::{format::Format, task::Task};

/// The position of a record in its file, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The line that it begins in.
    Line(usize),
    /// Its number among the records, in a format where a record is no line.
    Record(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Record(record) => write!(f, "record {record}"),
        }
    }
}

/// The reasons that data cannot be used, each as a sentence without the file's name, which the caller puts before it.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum Error {
    /// No task has this name.
    #[error("there is no task `{name}`; choose one of {}", Task::ALL.map(Task::name).join(", "))]
    UnknownTask {
        /// The name asked for.
        name: String,
    },
    /// There are no bytes at all, or no records.
    #[error("the data is empty; give a UTF-8 text, or records such as JSON lines with a prompt and a completion each")]
    Empty,
    /// A byte that is 0 or not part of UTF-8, so the file is no text.
    #[error(
        "byte {offset} is {byte:#04x}, which {}; is this a binary file, or a text in another encoding?",
        if *.byte == 0 { "no text has" } else { "is not part of a UTF-8 text" }
    )]
    Binary {
        /// The byte's index in the file, from 0.
        offset: usize,
        /// The byte's value.
        byte: u8,
    },
    /// A text in UTF-16 or UTF-32, recognised by its byte-order mark.
    #[error("it begins with the byte-order mark of {encoding}, but what is read is UTF-8; save it as UTF-8")]
    Wide {
        /// `UTF-16` or `UTF-32`.
        encoding: &'static str,
    },
    /// A file whose name ends as that of a table, such as `.csv`, but whose content shows none.
    #[error(
        "its name is that of {}, but it holds none; if it is plain text, give it a name that ends in .txt",
        .format.words()
    )]
    Named {
        /// The format that its name stands for.
        format: Format,
    },
    /// A format that this build does not read.
    #[error(
        "it holds {}, which is not read here; write it as JSON lines, or give it a name that ends in .raw, and every byte of it is learnt",
        .format.words()
    )]
    NotBuilt {
        /// The format of the file.
        format: Format,
    },
    /// A Parquet file whose columns are compressed in a way that is not read.
    #[error(
        "its columns are compressed with {codec}, but Snappy, GZIP, LZ4 or none are read; write it again in Python: \
         `import pyarrow.parquet as pq; pq.write_table(pq.read_table(\"old.parquet\"), \"new.parquet\", compression=\"snappy\")`"
    )]
    Codec {
        /// The name of the codec.
        codec: String,
    },
    /// A file that breaks the rules of its format.
    #[error("{place} is not valid {}: {what}", .format.words())]
    Syntax {
        /// `line 3`, `line 3, column 7` or `the file`.
        place: String,
        /// The format of the file.
        format: Format,
        /// Description of the fault.
        what: String,
    },
    /// A record that does not hold what it should.
    #[error("{place}: {what}; {needs}")]
    Record {
        /// The position of the record.
        place: Place,
        /// Description of the fault, with the field's name.
        what: String,
        /// Description of a valid record of this shape.
        needs: String,
    },
    /// Records without a known shape.
    #[error(
        "it holds {}, whose records have the fields {}, and these are not known together. Say which is which, as in `--fields prompt=question,completion=reply` or `--fields text={}`; \
         known are {}. If every byte of it is to be learnt, give it a name that ends in .raw",
        .format.words(), .fields.join(", "), .fields.first().map_or("body", String::as_str), crate::shape::known()
    )]
    Unknown {
        /// The format of the file.
        format: Format,
        /// The fields of the first record.
        fields: Vec<String>,
    },
    /// Records with more than one known shape.
    #[error(
        "its records have the fields {}, which can be read as {}; choose with `--fields`, as in `--fields {example}`",
        .fields.join(", "), .shapes.join(" or as ")
    )]
    Ambiguous {
        /// The fields of the first record.
        fields: Vec<String>,
        /// The names of the shapes.
        shapes: Vec<&'static str>,
        /// A mapping that chooses the first of them.
        example: String,
    },
    /// A mapping (`fields`) to a field that the records do not have, or from a role that does not exist.
    #[error("`fields` has `{role}={field}`, but {why}")]
    Fields {
        /// The role.
        role: String,
        /// The field that is to have the role.
        field: String,
        /// Description of the fault.
        why: String,
    },
    /// Messages that the chat template refuses, or does not render in a way that shows where a turn begins.
    #[error("{place}: the chat template cannot render its messages: {why}")]
    Chat {
        /// The position of the record.
        place: Place,
        /// The message of the chat template.
        why: String,
    },
    /// Records that are longer than a sequence.
    #[error(
        "{long} of {records} {} longer than {tokens} tokens, the first at {place}, the longest of {longest}: use `--truncate` to cut their ends, `--skip-long` to leave them out, or \
         `--tokens {longest}`",
        if *.long == 1 { "is" } else { "are" }
    )]
    TooLong {
        /// Records that are too long.
        long: usize,
        /// Records there are.
        records: usize,
        /// Tokens of a sequence.
        tokens: usize,
        /// The first that is too long.
        place: Place,
        /// Tokens of the longest.
        longest: usize,
    },
    /// No record is left after the long ones were skipped, or those whose prompt fills a sequence.
    #[error(
        "none of {records} records is left in sequences of {tokens} tokens, the longest has {longest}; use more `tokens`"
    )]
    NoneLeft {
        /// Records there are.
        records: usize,
        /// Tokens of a sequence.
        tokens: usize,
        /// Tokens of the longest.
        longest: usize,
    },
    /// Data without labels, for a model that tells classes apart.
    #[error(
        "it holds {found}, but the model says which class a text belongs to, so records with a label are needed, such as {{\"sentence\": \"...\", \"label\": 1}}; `--fields sentence=text,label=stars` says which field is which"
    )]
    Unlabelled {
        /// The kind of data that it holds instead.
        found: &'static str,
    },
    /// A label that stands for no class, or is no number.
    #[error("{place}: the label is \"{label}\", but it must be {needed}")]
    Label {
        /// Line or number of the record.
        place: Place,
        /// The label.
        label: String,
        /// A description of valid labels.
        needed: String,
    },
    /// Records of one class.
    #[error(
        "its records have only the label \"{label}\", but a model learns nothing from fewer than two classes; give records of another, too"
    )]
    OneClass {
        /// The label.
        label: String,
    },
    /// So many labels that they are hardly classes.
    #[error(
        "its records have {found} different labels, but at most {most} classes are told apart; is it the field of the labels? `--fields label=NAME` names another"
    )]
    ManyClasses {
        /// Labels there are.
        found: usize,
        /// Most classes.
        most: usize,
    },
    /// A text too short for a part to train on and one to validate with.
    #[error(
        "the text has {found} tokens, but {needed} are needed: a sequence of {tokens} tokens and the token after it to train on, and as many to validate with; give a longer text or use shorter sequences"
    )]
    TextTooShort {
        /// Tokens there are.
        found: usize,
        /// Tokens needed.
        needed: usize,
        /// Tokens of a sequence.
        tokens: usize,
    },
    /// A text, or a part of one, that is too short to fill a sequence.
    #[error(
        "the text has {found} tokens, but {needed} are needed for sequences of {tokens} tokens; give a longer text or use shorter sequences"
    )]
    PartTooShort {
        /// Tokens there are.
        found: usize,
        /// Tokens needed.
        needed: usize,
        /// Tokens of a sequence.
        tokens: usize,
    },
    /// An example whose prompt or whose completion has no token.
    #[error("example {number}: the prompt or the completion is empty, but both need at least one token")]
    ExampleEmpty {
        /// Its number, counted from 1.
        number: usize,
    },
    /// An example that does not fit a sequence.
    #[error(
        "example {number} has {found} tokens, but a sequence has {tokens}. Examples that are too long: {long}, the longest of {longest} tokens; set `tokens` to that, or shorten them or leave them out"
    )]
    ExampleTooLong {
        /// Its number, counted from 1.
        number: usize,
        /// Tokens of the example.
        found: usize,
        /// Tokens of a sequence.
        tokens: usize,
        /// Examples that are too long.
        long: usize,
        /// Tokens of the longest.
        longest: usize,
    },
    /// Too few different prompts to hold some out.
    #[error(
        "there are {prompts} different prompts, but at least 2 are needed: one to train on and one to validate with"
    )]
    TooFewPrompts {
        /// Different prompts.
        prompts: usize,
    },
    /// A held-out fraction that is not between 0 and 1.
    #[error("the held-out fraction is {fraction}, but it must lie between 0 and 1, both excluded; 0.1 is usual")]
    Fraction {
        /// The fraction asked for.
        fraction: f64,
    },
    /// Data of one kind to train on and of another to validate with.
    #[error("it holds {validation}, but the data to train on are {train}; validate with data of the same kind")]
    Kinds {
        /// `a text`, `examples` or `labelled texts`.
        train: &'static str,
        /// `a text`, `examples` or `labelled texts`.
        validation: &'static str,
    },
    /// A batch without sequences or without tokens, or with more tokens than 32 bits can count.
    #[error(
        "a batch has {sequences} sequences of {tokens} tokens, but both must be at least 1 and their product below 2^32"
    )]
    BatchShape {
        /// Sequences of a batch.
        sequences: usize,
        /// Tokens of a sequence.
        tokens: usize,
    },
}
