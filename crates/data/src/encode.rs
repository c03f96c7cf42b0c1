//! What a record says, as token ids with a mask of what is taught.

use std::ops::Range;

use loralab_tokenizer::{ChatError, Message, Taught, Tokenizer};

use crate::example::Examples;

/// Adds a prompt and a completion, which are encoded apart, as generation does it. The completion ends in the token that ends a text, which is taught; with
/// bytes, which have none, in a newline, where generation stops.
pub fn completion(examples: &mut Examples, prompt: &str, completion: &str, tokenizer: &Tokenizer) {
    let mut tokens = tokenizer.encode_prompt(prompt);
    let start = tokens.len();
    tokens.extend(ended(completion, tokenizer));
    let taught = start..tokens.len();
    examples.push(&tokens, std::slice::from_ref(&taught));
}

/// The tokens of a text with its end.
pub fn ended(text: &str, tokenizer: &Tokenizer) -> Vec<u32> {
    let mut tokens = tokenizer.encode(text);
    match tokenizer.special().eos {
        Some(end) => tokens.push(end),
        None if !text.ends_with('\n') => tokens.extend(tokenizer.encode("\n")),
        None => {}
    }
    tokens
}

/// Adds a conversation, of which the assistant's turns are taught, each with the token that ends it. Without a chat template each message is a line,
/// `role: content`.
///
/// # Errors
/// If the template refuses it.
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
