//! What a record says, as token ids with a mask of what is taught.

use loralab_tokenizer::Tokenizer;

use crate::{example::Examples, shape::Message};

/// The token that ends a text, if the tokenizer has one.
fn end(tokenizer: &Tokenizer) -> Option<u32> {
    let Tokenizer::Bytes = tokenizer;
    None
}

/// Adds a prompt and a completion, which are encoded apart, as generation does it. The completion ends in the token that ends a text, which is taught; with
/// bytes, which have none, in a newline, where generation stops.
pub fn completion(examples: &mut Examples, prompt: &str, completion: &str, tokenizer: &Tokenizer) {
    let mut tokens = tokenizer.encode_prompt(prompt);
    let start = tokens.len();
    tokens.extend(ended(completion, tokenizer));
    examples.push(&tokens, &[start..tokens.len()]);
}

/// The tokens of a text with its end.
pub fn ended(text: &str, tokenizer: &Tokenizer) -> Vec<u32> {
    let mut tokens = tokenizer.encode(text);
    match end(tokenizer) {
        Some(end) => tokens.push(end),
        None if !text.ends_with('\n') => tokens.extend(tokenizer.encode("\n")),
        None => {}
    }
    tokens
}

/// Adds a conversation, of which the assistant's turns are taught. Without a chat template each message is a line, `role: content`.
///
/// # Errors
/// If the template refuses it.
pub fn conversation(examples: &mut Examples, messages: &[Message], tokenizer: &Tokenizer) -> Result<(), String> {
    let (mut tokens, mut taught) = (Vec::new(), Vec::new());
    for Message { role, content } in messages {
        tokens.extend(tokenizer.encode(&format!("{role}: ")));
        let start = tokens.len();
        tokens.extend(ended(content, tokenizer));
        if role == "assistant" {
            taught.push(start..tokens.len());
        }
    }
    examples.push(&tokens, &taught);
    Ok(())
}
