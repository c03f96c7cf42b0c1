//! What can be wrong with data.

use thiserror::Error;

use crate::{format::Structure, task::Task};

/// What is read, in words.
const READ: &str = "what is read is plain text, byte by byte, and lines of {\"prompt\": \"...\", \"completion\": \"...\"} in a file whose name ends in .jsonl";

/// Why data cannot be used, as a sentence. The caller knows the file and puts its name before it.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum Error {
    /// No task has this name.
    #[error("there is no task `{name}`; choose one of {}", Task::ALL.map(Task::name).join(", "))]
    UnknownTask {
        /// The name asked for.
        name: String,
    },
    /// There are no bytes at all.
    #[error("the data is empty; give a UTF-8 text, or JSON lines with a prompt and a completion each")]
    Empty,
    /// A byte of value 0 or one that is no UTF-8: not a text.
    #[error(
        "byte {offset} is {byte:#04x}, which {}; is this a binary file, or a text in another encoding?",
        if *.byte == 0 { "no text has" } else { "is not part of a UTF-8 text" }
    )]
    Binary {
        /// Where it is, counted from 0.
        offset: usize,
        /// What it is.
        byte: u8,
    },
    /// A text of which a character takes more than a byte always.
    #[error("it begins with the byte-order mark of {encoding}, but what is read is UTF-8; save it as UTF-8")]
    Wide {
        /// `UTF-16` or `UTF-32`.
        encoding: &'static str,
    },
    /// A file whose syntax would be learnt in place of what it says.
    #[error("it holds {}, not plain text; {READ}. {}", .structure.words(), .structure.remedy())]
    Structured {
        /// What it holds.
        structure: Structure,
    },
    /// A file that is named as one whose syntax would be learnt.
    #[error(
        "its name is that of {}, which are not read; {READ}. Give it one of these forms; if it is plain text, give it a name that ends in .txt",
        .structure.words()
    )]
    Named {
        /// What its name says that it holds.
        structure: Structure,
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
    /// A text, or a part of one, that does not fill a sequence.
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
    /// A line of JSON that does not hold an example.
    #[error("line {line}: {what}; each line must be like {{\"prompt\": \"...\", \"completion\": \"...\"}}")]
    Line {
        /// Its number, counted from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// An example with nothing to go on from, or nothing to learn.
    #[error("{place}: the prompt or the completion is empty, but both need at least one token")]
    ExampleEmpty {
        /// `line 3`, or `example 3`, counted from 1.
        place: String,
    },
    /// An example that does not fit a sequence.
    #[error(
        "{place}: prompt and completion have {found} tokens together (the newline that ends it included), but a sequence has {tokens} tokens. Examples that are too long: {long}, the longest of {longest} tokens; set `tokens` to that, or shorten them or leave them out"
    )]
    ExampleTooLong {
        /// `line 3`, or `example 3`, counted from 1.
        place: String,
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
    /// A held-out part that is not a part.
    #[error("the held-out fraction is {fraction}, but it must lie between 0 and 1, both excluded; 0.1 is usual")]
    Fraction {
        /// The fraction asked for.
        fraction: f64,
    },
    /// A batch of nothing.
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
