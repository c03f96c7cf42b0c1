//! Conversations, and the templates that write them as text.

#[cfg(feature = "huggingface")]
pub(crate) mod answers;
#[cfg(feature = "huggingface")]
mod bounds;
#[cfg(feature = "huggingface")]
mod json;
#[cfg(feature = "huggingface")]
pub(crate) mod template;

#[cfg(all(test, feature = "huggingface"))]
mod tests;

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "huggingface", derive(serde::Serialize))]
pub struct Message {
    /// The speaker: `system`, `user`, `assistant`, or another that the template knows.
    pub role: String,
    /// The text.
    pub content: String,
}

impl Message {
    /// The role of the answers that a model learns.
    pub const ASSISTANT: &'static str = "assistant";

    /// A message of `role`.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }

    /// True if the message is an answer that a model learns.
    pub fn is_answer(&self) -> bool {
        self.role == Self::ASSISTANT
    }
}

/// A token of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taught {
    /// The token's id.
    pub token: u32,
    /// True if it belongs to an answer, so that the loss counts it.
    pub taught: bool,
}
