#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use super::*;
use crate::{example::Example, reader::Reader};

const LINE: &str = r#"{"prompt": "Is it so?", "completion": "yes"}"#;

fn message<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.unwrap_err().to_string()
}

fn text(bytes: &[u8]) -> Result<Dataset, Error> {
    Dataset::text(bytes, &Tokenizer::Bytes)
}

fn example(prompt: &str, completion: &str) -> Example {
    Example { prompt: Tokenizer::Bytes.encode(prompt), completion: Tokenizer::Bytes.encode(completion) }
}

#[test]
fn a_text_is_taken_byte_by_byte() {
    assert_eq!(text("aéb".as_bytes()), Ok(Dataset::Text(vec![97, 0xC3, 0xA9, 98])));
}

#[test]
fn what_is_no_text_is_refused() {
    assert!(message(text(b"")).contains("the data is empty"));
    assert_eq!(text(b"some\0text"), Err(Error::Binary { offset: 4, byte: 0 }));
    assert_eq!(text(b"gr\xFC\xDFe"), Err(Error::Binary { offset: 2, byte: 0xFC }));
    assert!(Error::Binary { offset: 4, byte: 0 }.to_string().starts_with("byte 4 is 0x00, which no text has;"));
    let marked = |mark: &[u8]| text(&[mark, b"some text"].concat());
    assert_eq!(marked(b"\xEF\xBB\xBF"), marked(b""));
    assert_eq!(text(b"\xEF\xBB\xBF"), Err(Error::Empty));
    for (mark, encoding) in [
        (&b"\xFF\xFE"[..], "UTF-16"),
        (b"\xFE\xFF", "UTF-16"),
        (b"\xFF\xFE\0\0", "UTF-32"),
        (b"\0\0\xFE\xFF", "UTF-32"),
    ] {
        assert_eq!(marked(mark), Err(Error::Wide { encoding }));
    }
    assert!(message(text(b"gr\xFC\xDFe")).starts_with("byte 2 is 0xfc, which is not part of a UTF-8 text"));
    assert!(message(text(b"gr\xFC\xDFe")).starts_with("byte 2 is 0xfc, which is not part of a UTF-8 text"));
    assert!(
        message(Dataset::Text(vec![1, 2, 3, 4]).fits(4))
            .starts_with("the text has 4 tokens, but 5 are needed for sequences of 4 tokens")
    );
    assert_eq!(Dataset::Text(vec![1, 2, 3, 4, 5]).fits(4), Ok(()));
}

/// Whatever is too short is told once what is enough.
#[test]
fn a_text_of_the_length_that_was_asked_for_is_taken() {
    let split = |bytes: usize, tokens| text(&vec![b'a'; bytes]).unwrap().split(0, 0.1, tokens);
    for tokens in [1, 4, 64] {
        for bytes in 1..2 * tokens + 2 {
            let Err(Error::TextTooShort { needed, .. }) = split(bytes, tokens) else {
                panic!("{bytes} bytes are too few for {tokens} tokens")
            };
            assert!(split(needed, tokens).is_ok(), "{bytes} bytes, {tokens} tokens: {needed} are not enough");
        }
    }
    assert!(message(split(64, 64)).starts_with("the text has 64 tokens, but 130 are needed: "));
}

#[test]
fn examples_made_elsewhere_are_checked_too() {
    let examples = |prompt: &str, completion: &str| Dataset::Examples(vec![example(prompt, completion)].into());
    assert_eq!(Dataset::Examples(vec![].into()).fits(8), Err(Error::Empty));
    assert_eq!(Dataset::Text(vec![]).fits(8), Err(Error::Empty));
    assert_eq!(examples("", "a").fits(8), Err(Error::ExampleEmpty { number: 1 }));
    assert_eq!(examples("a", "").fits(8), Err(Error::ExampleEmpty { number: 1 }));
    assert_eq!(
        examples("aaaa", "bbbbb").fits(8),
        Err(Error::ExampleTooLong { number: 1, found: 9, tokens: 8, long: 1, longest: 9 })
    );
    assert_eq!(examples("aaaa", "bbbb").fits(8), Ok(()));
    assert_eq!(examples("aaaa", "bbbb").packed(8).fits(8), Ok(()));
}

#[test]
fn other_data_to_validate_with_are_of_the_same_kind() {
    let examples = || Dataset::Examples(vec![example("aa", "b")].into());
    let words = || Dataset::Text(vec![1; 9]);
    let split = examples().with_validation(examples(), 8).unwrap();
    assert_eq!((split.train, split.validation), (examples(), examples()));
    assert!(words().with_validation(words(), 8).is_ok());
    assert_eq!(words().with_validation(words(), 9), Err(Error::PartTooShort { found: 9, needed: 10, tokens: 9 }));
    let error = message(examples().with_validation(words(), 8));
    assert!(error.starts_with("it holds a text, but the data to train on are examples"), "{error}");
}

/// Every token is another, so stretches can be told apart; most are beyond a byte.
fn numbers(count: u32) -> Vec<u32> {
    (1000..1000 + count).collect()
}

#[test]
fn a_split_text_keeps_every_token_once() {
    let text = numbers(20_000);
    let Split { train: Dataset::Text(train), validation: Dataset::Text(validation), .. } =
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
        let Split { train: Dataset::Examples(train), validation: Dataset::Examples(validation), .. } =
            Dataset::Examples(examples.clone().into()).split(seed, 0.1, 64).unwrap()
        else {
            panic!("examples")
        };
        (train, validation)
    };
    let (train, validation) = split(1);
    assert_eq!((train.len(), validation.len()), (270, 30));
    let trained: HashSet<_> = train.iter().map(|lesson| lesson.prompt()).collect();
    assert!(validation.iter().all(|lesson| !trained.contains(lesson.prompt())));
    assert_eq!(split(1).1, validation);
    assert_ne!(split(2).1, validation);
}

#[test]
fn a_split_needs_a_fraction_and_two_prompts() {
    let reader = Reader::new(&Tokenizer::Bytes, 64);
    let dataset = reader.read(Some("a.jsonl"), format!("{LINE}\n{LINE}").as_bytes()).unwrap().dataset;
    assert_eq!(dataset.split(0, 0.1, 64), Err(Error::TooFewPrompts { prompts: 1 }));
    for fraction in [0.0, 1.0, -0.5, f64::NAN, f64::INFINITY] {
        assert!(matches!(dataset.split(0, fraction, 64), Err(Error::Fraction { .. })), "{fraction}");
    }
}
