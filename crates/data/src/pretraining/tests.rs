#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use super::*;
use crate::Task;
use crate::hash::fnv;

const BYTES: usize = 1 << 20;

#[test]
fn every_byte_of_the_tasks_is_frequent() {
    let text = pretraining(&Tokenizer::Bytes, 0, BYTES);
    let mut counts: HashMap<u32, usize> = HashMap::new();
    for &token in &text {
        *counts.entry(token).or_default() += 1;
    }
    for task in Task::ALL {
        for example in task.examples(&Tokenizer::Bytes, 1, 3000) {
            for token in [example.prompt, example.completion].concat() {
                let count = counts.get(&token).copied().unwrap_or(0);
                assert!(
                    count >= 500,
                    "{} needs byte {:?}, which occurs {count} times in a MiB",
                    task.name(),
                    Tokenizer::Bytes.decode(&[token])
                );
            }
        }
    }
}

#[test]
fn no_word_of_the_target_dialect_occurs() {
    let text = text(1, BYTES);
    let forbidden = target_words();
    for word in ["ze", "zu", "taket", "vas", "valket", "vith"] {
        assert_eq!(forbidden.contains(word), word != "vith", "{word}");
    }
    let found: Vec<_> =
        pieces(&text).into_iter().filter(|piece| forbidden.contains(&piece.to_ascii_lowercase())).collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn no_answer_of_a_task_follows_its_prompt() {
    let text = text(2, BYTES);
    for line in text.lines() {
        if let Some((_, after)) = line.split_once('=') {
            assert!(after.contains('+'), "{line}");
        }
        // A question is echoed, or answered by somebody in a sentence.
        if let Some((_, after)) = line.split_once('?') {
            assert!(after.is_empty() || after.starts_with('>') || after.contains(" said: "), "{line}");
        }
    }
}

#[test]
fn a_longer_text_starts_with_the_shorter() {
    let text = text(3, 5000);
    assert_eq!(text.len(), 5000);
    assert_eq!(super::text(3, 3000), text[..3000]);
    assert_ne!(super::text(4, 5000), text);
}

#[test]
fn every_kind_of_line_has_its_share() {
    let text = text(5, BYTES);
    let share = |kind: &dyn Fn(&str) -> bool| {
        let bytes: usize = text.lines().filter(|line| kind(line)).map(|line| line.len() + 1).sum();
        bytes as f64 / text.len() as f64
    };
    let echo = |line: &str| line.split_once('>').is_some_and(|(left, right)| left == right);
    let stories = share(&|line| line.contains(". ") && !line.contains(". Now "));
    assert!((0.3..0.5).contains(&stories), "stories {stories}");
    let echoes = share(&echo);
    assert!((0.25..0.4).contains(&echoes), "echoes {echoes}");
    let respellings = share(&|line| line.contains('>') && !echo(line));
    assert!((0.15..0.3).contains(&respellings), "respellings {respellings}");
}

#[test]
fn the_text_is_the_same_everywhere() {
    assert_eq!(fnv(text(0, BYTES)), 16_208_038_957_844_798_372);
}
