//! The reasons that a tokenizer cannot be read or used.

use thiserror::Error;

/// A model whose embedding does not fit its tokenizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum VocabularyError {
    /// The model does not read bytes.
    #[error(
        "it has a vocabulary of {found} tokens, but only bases that read bytes ({needed} tokens) can be used without a tokenizer; `loralab pretrain` makes one"
    )]
    Bytes {
        /// Tokens of the model.
        found: usize,
        /// Tokens of the tokenizer.
        needed: usize,
    },
    /// The tokenizer has tokens that the model does not know.
    #[error(
        "it has a vocabulary of {found} tokens, but its tokenizer has {needed}; the tokenizer belongs to another model, or tokens were added to it and not to the model"
    )]
    TooSmall {
        /// Tokens of the model.
        found: usize,
        /// Tokens of the tokenizer.
        needed: usize,
    },
}

/// The reasons that the files of a tokenizer cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TokenizerError {
    /// The feature is missing.
    #[error("this build of loralab reads no tokenizer.json; use the native command")]
    NotBuilt,
    /// A file is no JSON or lacks what it must have.
    #[error("`{file}` cannot be read: {what}")]
    Damaged {
        /// The file's name.
        file: &'static str,
        /// Description of the fault, with the place if it is known.
        what: String,
    },
    /// A file is larger than any known one.
    #[error("`{file}` has {found} bytes; a tokenizer's file has at most {most}")]
    Huge {
        /// The file's name.
        file: &'static str,
        /// Its size.
        found: usize,
        /// The largest size that is read.
        most: usize,
    },
    /// Texts with unknown characters could not be encoded.
    #[error(
        "`tokenizer.json` is a {kind} tokenizer without a token for unknown characters (`{key}`), so it could not encode every text; it needs one that is in its vocabulary"
    )]
    NoUnknown {
        /// The kind of model.
        kind: String,
        /// The key that names the token.
        key: &'static str,
    },
    /// A token has an id that no embedding could have.
    #[error("`tokenizer.json` gives the token `{token}` the id {id}; the largest that is read is {most}")]
    Id {
        /// The token.
        token: String,
        /// Its id.
        id: u64,
        /// The largest id.
        most: u64,
    },
    /// The chat template cannot be compiled.
    #[error("the chat template in `{file}` cannot be used: {what}")]
    Template {
        /// The file that holds it.
        file: &'static str,
        /// Description of the fault, with the line.
        what: String,
    },
}

/// The reasons that a conversation cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChatError {
    /// There is no template.
    #[error(
        "the tokenizer has no chat template, so it is not known how the model writes conversations; give a prompt and a completion, or use a model that has one \
         (`chat_template.jinja`, or `chat_template` in `tokenizer_config.json`)"
    )]
    NoTemplate,
    /// The template refuses the messages by `raise_exception`.
    #[error("the model's chat template refuses the conversation: {0}")]
    Refused(String),
    /// The template fails.
    #[error("the model's chat template fails: {0}")]
    Failed(String),
    /// The template does not end, or writes without end.
    #[error("the model's chat template {0}; it may be made to do harm")]
    Bomb(&'static str),
    /// An answer is not in the text.
    #[error(
        "the model's chat template changes message {message} (the first is 1), the assistant's answer, so its tokens cannot be found in the text of the conversation"
    )]
    Answer {
        /// The number of the message, from 1.
        message: usize,
    },
}
