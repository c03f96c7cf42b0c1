//! Encoding of records as examples: token ids, and the ranges of those that are taught, which the loss counts.

use std::ops::Range;

use loralab_tokenizer::{ChatError, Message, Taught, Tokenizer};

use crate::example::Examples;

/// Adds the example of a prompt and a completion, which are encoded separately, as in generation. The completion is taught, with the token that ends
/// a text; the tokenizer of bytes has no such token, so there the completion ends in a newline, where generation stops.
pub fn completion(examples: &mut Examples, prompt: &str, completion: &str, tokenizer: &Tokenizer) {
    let mut tokens = tokenizer.encode_prompt(prompt);
    let start = tokens.len();
    tokens.extend(ended(completion, tokenizer));
    let taught = start..tokens.len();
    examples.push(&tokens, std::slice::from_ref(&taught));
}

/// The tokens of a text, then the token that ends a text; with the tokenizer of bytes, which has none, a newline unless the text ends in one.
pub fn ended(text: &str, tokenizer: &Tokenizer) -> Vec<u32> {
    let mut tokens = tokenizer.encode(text);
    match tokenizer.special().eos {
        Some(end) => tokens.push(end),
        None if !text.ends_with('\n') => tokens.extend(tokenizer.encode("\n")),
        None => {}
    }
    tokens
}

/// Adds the example of a conversation. The assistant's messages are taught, each with the token that ends it. Without a chat template each message is
/// a line, `role: content`.
///
/// # Errors
/// If the chat template refuses the messages, or an answer cannot be found in its text.
pub fn conversation(examples: &mut Examples, messages: &[Message], tokenizer: &Tokenizer) -> Result<(), ChatError> {
    let (mut tokens, mut taught) = (Vec::new(), Vec::new());
    if tokenizer.has_chat_template() {
        for Taught { token, taught: is_taught } in tokenizer.conversation(messages)? {
            let at = tokens.len();
            match taught.last_mut() {
                Some(Range { end, .. }) if is_taught && *end == at => *end += 1,
                _ if is_taught => taught.push(at..at + 1),
                _ => {}
            }
            tokens.push(token);
        }
    } else {
        for message in messages {
            tokens.extend(tokenizer.encode(&format!("{}: ", message.role)));
            let start = tokens.len();
            tokens.extend(ended(&message.content, tokenizer));
            if message.is_answer() {
                taught.push(start..tokens.len());
            }
        }
    }
    examples.push(&tokens, &taught);
    Ok(())
}
