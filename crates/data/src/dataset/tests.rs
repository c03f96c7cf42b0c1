#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use super::*;

const LINE: &str = r#"{"prompt": "Is it so?", "completion": "yes"}"#;

fn message<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.unwrap_err().to_string()
}

fn example(prompt: &str, completion: &str) -> Example {
    Example { prompt: Tokenizer::Bytes.encode(prompt), completion: Tokenizer::Bytes.encode(completion) }
}

#[test]
fn a_text_is_taken_byte_by_byte() {
    assert_eq!(Dataset::text("aéb".as_bytes(), &Tokenizer::Bytes, 1), Ok(Dataset::Text(vec![97, 0xC3, 0xA9, 98])));
}

#[test]
fn what_is_no_text_is_refused() {
    assert!(message(Dataset::text(b"", &Tokenizer::Bytes, 4)).contains("the data is empty"));
    assert_eq!(Dataset::text(b"some\0text", &Tokenizer::Bytes, 4), Err(Error::Binary { offset: 4, byte: 0 }));
    assert_eq!(Dataset::text(b"gr\xFC\xDFe", &Tokenizer::Bytes, 4), Err(Error::Binary { offset: 2, byte: 0xFC }));
    assert!(Error::Binary { offset: 4, byte: 0 }.to_string().starts_with("byte 4 is 0x00, which no text has;"));
    let marked = |mark: &[u8]| Dataset::text(&[mark, b"some text"].concat(), &Tokenizer::Bytes, 3);
    assert_eq!(marked(b"\xEF\xBB\xBF"), marked(b""));
    assert_eq!(Dataset::text(b"\xEF\xBB\xBF", &Tokenizer::Bytes, 3), Err(Error::Empty));
    for (mark, encoding) in [
        (&b"\xFF\xFE"[..], "UTF-16"),
        (b"\xFE\xFF", "UTF-16"),
        (b"\xFF\xFE\0\0", "UTF-32"),
        (b"\0\0\xFE\xFF", "UTF-32"),
    ] {
        assert_eq!(marked(mark), Err(Error::Wide { encoding }));
    }
    assert!(
        message(Dataset::text(b"gr\xFC\xDFe", &Tokenizer::Bytes, 4))
            .starts_with("byte 2 is 0xfc, which is not part of a UTF-8 text")
    );
    assert!(
        message(Dataset::text(b"gr\xFC\xDFe", &Tokenizer::Bytes, 4))
            .starts_with("byte 2 is 0xfc, which is not part of a UTF-8 text")
    );
    assert!(
        message(Dataset::Text(vec![1, 2, 3, 4]).fits(4))
            .starts_with("the text has 4 tokens, but 5 are needed for sequences of 4 tokens")
    );
    assert_eq!(Dataset::Text(vec![1, 2, 3, 4, 5]).fits(4), Ok(()));
}

/// Whatever is too short is told once what is enough.
#[test]
fn a_text_of_the_length_that_was_asked_for_is_taken() {
    for tokens in [1, 4, 64] {
        for bytes in 1..2 * tokens + 2 {
            let Err(Error::TextTooShort { needed, .. }) = Dataset::text(&vec![b'a'; bytes], &Tokenizer::Bytes, tokens)
            else {
                panic!("{bytes} bytes are too few for {tokens} tokens")
            };
            let text = Dataset::text(&vec![b'a'; needed], &Tokenizer::Bytes, tokens).unwrap();
            assert!(text.split(0, 0.1, tokens).is_ok(), "{bytes} bytes, {tokens} tokens: {needed} are not enough");
        }
    }
    assert!(
        message(Dataset::text(&[b'a'; 64], &Tokenizer::Bytes, 64))
            .starts_with("the text has 64 tokens, but 130 are needed: ")
    );
}

#[test]
fn json_lines_give_examples() {
    let lines = format!("{LINE}\r\n\n   \n{{\"id\": 7, \"completion\": \"no\\n\", \"prompt\": \"ü\"}}\n");
    let Dataset::Examples(examples) = Dataset::jsonl(lines.as_bytes(), &Tokenizer::Bytes, 64).unwrap() else {
        panic!("examples")
    };
    assert_eq!(examples, [example("Is it so?", "yes\n"), example("ü", "no\n")]);
}

#[test]
fn a_bad_line_is_named() {
    for (line, wanted) in [
        (r#"{"prompt": "a", "completion": "#, "line 3: not valid JSON at column 30 (EOF while parsing a value)"),
        (r#"["a", "b"]"#, "line 3: not a JSON object"),
        (r#"{"prompt": "a"}"#, "line 3: the field \"completion\" is missing"),
        (r#"{"completion": "a"}"#, "line 3: the field \"prompt\" is missing"),
        (r#"{"prompt": 3, "completion": "a"}"#, "line 3: the field \"prompt\" is not a string"),
        (r#"{"prompt": "a", "completion": ""}"#, "line 3: the field \"completion\" is empty"),
        (r#"{"prompt": "", "completion": "a"}"#, "line 3: the field \"prompt\" is empty"),
    ] {
        let error = message(Dataset::jsonl(format!("{LINE}\n\n{line}\n{LINE}").as_bytes(), &Tokenizer::Bytes, 64));
        assert!(error.starts_with(wanted) && error.contains("{\"prompt\": \"...\""), "{error}");
    }
}

#[test]
fn json_lines_that_give_nothing_or_do_not_fit_are_refused() {
    assert_eq!(Dataset::jsonl(b"", &Tokenizer::Bytes, 64), Err(Error::Empty));
    assert_eq!(Dataset::jsonl(b"\n  \n", &Tokenizer::Bytes, 64), Err(Error::Empty));
    assert_eq!(Dataset::jsonl(b"{}\x00", &Tokenizer::Bytes, 64), Err(Error::Binary { offset: 2, byte: 0 }));
    // 9 bytes, 3 bytes and the newline.
    assert!(Dataset::jsonl(LINE.as_bytes(), &Tokenizer::Bytes, 13).is_ok());
    let error = message(Dataset::jsonl(format!("\n{LINE}").as_bytes(), &Tokenizer::Bytes, 12));
    assert!(error.starts_with("line 2: prompt and completion have 13 tokens together"), "{error}");
}

#[test]
fn examples_made_elsewhere_are_checked_too() {
    let examples = |prompt: &str, completion: &str| Dataset::Examples(vec![example(prompt, completion)]);
    assert_eq!(Dataset::Examples(vec![]).fits(8), Err(Error::Empty));
    assert_eq!(Dataset::Text(vec![]).fits(8), Err(Error::Empty));
    assert_eq!(examples("", "a").fits(8), Err(Error::ExampleEmpty { place: "example 1".into() }));
    assert_eq!(examples("a", "").fits(8), Err(Error::ExampleEmpty { place: "example 1".into() }));
    assert_eq!(
        examples("aaaa", "bbbbb").fits(8),
        Err(Error::ExampleTooLong { place: "example 1".into(), found: 9, tokens: 8, long: 1, longest: 9 })
    );
    assert_eq!(examples("aaaa", "bbbb").fits(8), Ok(()));
    let line = |completion: &str| format!("{{\"prompt\": \"a\", \"completion\": \"{completion}\"}}\n");
    let lines = format!("\u{feff}{}\n{}{}", line("b"), line("bbb"), line("bbbbbbb"));
    let error = Dataset::jsonl(lines.as_bytes(), &Tokenizer::Bytes, 4).expect_err("two are longer").to_string();
    assert!(error.starts_with("line 3: prompt") && error.contains("too long: 2, the longest of 9 tokens"), "{error}");
    assert!(Dataset::jsonl(lines.as_bytes(), &Tokenizer::Bytes, 9).is_ok());
}

/// Every token is another, so stretches can be told apart; most are beyond a byte.
fn numbers(count: u32) -> Vec<u32> {
    (1000..1000 + count).collect()
}

#[test]
fn a_split_text_keeps_every_token_once() {
    let text = numbers(20_000);
    let Split { train: Dataset::Text(train), validation: Dataset::Text(validation) } =
        Dataset::Text(text.clone()).split(1, 0.1, 64).unwrap()
    else {
        panic!("texts")
    };
    assert_eq!((train.len(), validation.len()), (18_000, 2000));
    let mut all = [train, validation.clone()].concat();
    all.sort_unstable();
    assert_eq!(all, text);
    // Two stretches of 1000 tokens, each as it was in the text.
    for stretch in validation.chunks(1000) {
        assert!(text.chunks(1000).any(|whole| whole == stretch));
    }
}

#[test]
fn both_parts_of_a_short_text_fill_a_sequence() {
    for length in 130..700 {
        let split = Dataset::Text(vec![97; length]).split(2, 0.1, 64).unwrap();
        assert_eq!((split.train.fits(64), split.validation.fits(64)), (Ok(()), Ok(())), "{length}");
    }
    assert!(message(Dataset::Text(vec![97; 129]).split(2, 0.1, 64)).contains("129 tokens, but 130 are needed"));
}

#[test]
fn examples_are_held_out_by_prompt() {
    let examples: Vec<Example> =
        (0..300).map(|number| example(&format!("{}", number % 100), &format!("{number}\n"))).collect();
    let split = |seed| {
        let Split { train: Dataset::Examples(train), validation: Dataset::Examples(validation) } =
            Dataset::Examples(examples.clone()).split(seed, 0.1, 64).unwrap()
        else {
            panic!("examples")
        };
        (train, validation)
    };
    let (train, validation) = split(1);
    assert_eq!((train.len(), validation.len()), (270, 30));
    let trained: HashSet<_> = train.iter().map(|example| &example.prompt).collect();
    assert!(validation.iter().all(|example| !trained.contains(&example.prompt)));
    assert_eq!(split(1).1, validation);
    assert_ne!(split(2).1, validation);
}

#[test]
fn a_split_needs_a_fraction_and_two_prompts() {
    let dataset = Dataset::jsonl(format!("{LINE}\n{LINE}").as_bytes(), &Tokenizer::Bytes, 64).unwrap();
    assert_eq!(dataset.split(0, 0.1, 64), Err(Error::TooFewPrompts { prompts: 1 }));
    for fraction in [0.0, 1.0, -0.5, f64::NAN, f64::INFINITY] {
        assert!(matches!(dataset.split(0, fraction, 64), Err(Error::Fraction { .. })), "{fraction}");
    }
}
