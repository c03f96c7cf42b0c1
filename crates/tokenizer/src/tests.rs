use super::*;

#[test]
fn a_text_comes_back() {
    let text = "Anna – 3+4=7?\n";
    let tokens = Tokenizer::Bytes.encode(text);
    assert_eq!(tokens.len(), text.len());
    assert!(tokens.iter().all(|&token| (token as usize) < Tokenizer::Bytes.vocabulary()));
    assert_eq!(Tokenizer::Bytes.decode(&tokens), text);
    assert_eq!(Tokenizer::Bytes.decode_plain(&tokens), text);
    assert_eq!(Tokenizer::Bytes.encode_with_special(text), tokens);
}

#[test]
fn tokens_that_are_not_text_are_replaced() {
    assert_eq!(Tokenizer::Bytes.decode(&[65, 0xC3, 66, 300]), "A\u{FFFD}B\u{FFFD}");
    assert_eq!(Tokenizer::Bytes.decode_bytes(&[65, 0xC3, 300]), [65, 0xC3, 0xFF]);
}

#[test]
fn a_prompt_has_at_least_one_token() {
    assert_eq!(Tokenizer::Bytes.encode_prompt(""), [10]);
    assert_eq!(Tokenizer::Bytes.encode_prompt("ab"), [97, 98]);
}

#[test]
fn a_base_needs_the_vocabulary_of_its_tokenizer() {
    assert_eq!(Tokenizer::Bytes.check(256), Ok(()));
    let error = Tokenizer::Bytes.check(300).expect_err("300 tokens are not bytes").to_string();
    assert!(error.starts_with("it has a vocabulary of 300 tokens") && error.contains("(256 tokens)"), "{error}");
}

#[test]
fn a_pair_of_bytes_has_types() {
    let encoded = Tokenizer::Bytes.encode_pair("ab", Some("c"));
    assert_eq!(encoded, Encoded { tokens: vec![97, 98, 99], types: vec![0, 0, 1] });
}

#[test]
fn bytes_know_no_conversation() {
    assert!(!Tokenizer::Bytes.has_chat_template());
    assert_eq!(Tokenizer::Bytes.conversation(&[Message::new("user", "Hi")]), Err(ChatError::NoTemplate));
}

#[test]
fn a_stream_waits_for_whole_characters() {
    let mut stream = Tokenizer::Bytes.stream();
    let said: Vec<String> = "aé😀b".bytes().map(|byte| stream.push(u32::from(byte))).collect();
    assert_eq!(said, ["a", "", "é", "", "", "", "😀", "b"]);
    assert_eq!(stream.push(0xF0) + &stream.push(0x9F) + &stream.finish(), "\u{FFFD}");
    let mut broken = Tokenizer::Bytes.stream();
    let said: String = [0xFF, 0xFE, 97, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF].iter().map(|&byte| broken.push(byte)).collect();
    assert_eq!(said + &broken.finish(), "\u{FFFD}\u{FFFD}a\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}");
}
