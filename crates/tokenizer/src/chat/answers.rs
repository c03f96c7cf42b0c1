//! The spans of the assistant's answers in the text of a conversation.

use std::ops::Range;

use super::{Message, template::Template};
use crate::ChatError;

/// The text of a conversation, and the places of the assistant's answers in it, in order.
pub struct Answers {
    /// The text.
    pub text: String,
    /// The range of bytes of each answer in `text`.
    pub spans: Vec<Range<usize>>,
}

/// Renders a conversation and finds its answers. `ends` are the texts of the tokens that may end a turn.
///
/// Some templates mark the answers (`{% generation %}`). Otherwise an answer is the text that its message adds after the prompt for an answer
/// (`add_generation_prompt`, which some templates ignore). If a template writes earlier messages differently once others follow, as those do that
/// drop the model's thoughts, the content of the message is searched for instead.
pub fn find(template: &Template, messages: &[Message], ends: &[String]) -> Result<Answers, ChatError> {
    let whole = template.render(messages, false)?;
    if let Some(spans) = whole.generated.filter(|spans| !spans.is_empty()) {
        return Ok(Answers { text: whole.text, spans });
    }
    let text = whole.text;
    let mut spans: Vec<Range<usize>> = Vec::new();
    for (index, message) in messages.iter().enumerate().filter(|(_, message)| message.is_answer()) {
        let from = spans.last().map_or(0, |span| span.end);
        let span = gained(template, messages, index, &text)
            .filter(|span| span.start >= from)
            .or_else(|| searched(&text, from, message.content.trim(), ends))
            .ok_or(ChatError::Answer { message: index + 1 })?;
        spans.push(until_end(&text, span, message.content.trim(), ends));
    }
    Ok(Answers { text, spans })
}

/// The bytes that message `index` adds to the text after the prompt for an answer; `None` if they cannot be told apart from the rest.
fn gained(template: &Template, messages: &[Message], index: usize, text: &str) -> Option<Range<usize>> {
    let after = if index + 1 == messages.len() {
        text.to_owned()
    } else {
        template.render(&messages[..=index], false).ok()?.text
    };
    // A template may refuse a conversation that begins with an answer; nothing is before it then.
    let asked = template.render(&messages[..index], true).ok()?.text;
    let holds = |span: Range<usize>| after[span].contains(messages[index].content.trim());
    if !text.starts_with(&after) {
        return None;
    }
    Some(asked.len()..after.len())
        .filter(|span| after.starts_with(&asked) && span.start <= span.end && holds(span.clone()))
}

/// The place of `content` in the text from `from` on, with the end token that follows it.
fn searched(text: &str, from: usize, content: &str, ends: &[String]) -> Option<Range<usize>> {
    let start = from + text.get(from..)?.find(content)?;
    let end = start + content.len();
    let rest = text[end..].trim_start();
    let after = ends.iter().find(|end| !end.is_empty() && rest.starts_with(end.as_str()));
    Some(start..after.map_or(end, |token| text.len() - rest.len() + token.len()))
}

/// The span up to the end token that follows the answer's text: what comes after that, as the newline of ChatML, is never generated.
fn until_end(text: &str, span: Range<usize>, content: &str, ends: &[String]) -> Range<usize> {
    let inside = &text[span.clone()];
    let said = inside.find(content).map_or(0, |at| at + content.len());
    let first = ends
        .iter()
        .filter(|end| !end.is_empty())
        .filter_map(|end| Some((inside[said..].find(end.as_str())?, end.len())))
        .min();
    span.start..first.map_or(span.end, |(at, length)| span.start + said + at + length)
}
