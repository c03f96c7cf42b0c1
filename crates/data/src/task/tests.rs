#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use super::*;
use crate::hash::fnv;
use crate::{Dataset, HELD_OUT};

fn text(example: &Example) -> (String, String) {
    (Tokenizer::Bytes.decode(&example.prompt), Tokenizer::Bytes.decode(&example.completion))
}

#[test]
fn names_find_their_tasks() {
    for task in Task::ALL {
        assert_eq!(Task::find(task.name()), Ok(task));
        assert!(!task.about().is_empty());
    }
    let error = Task::find("poetry").unwrap_err().to_string();
    assert_eq!(error, "there is no task `poetry`; choose one of translation, questions, arithmetic");
}

#[test]
fn examples_fit_and_differ_and_end() {
    for task in Task::ALL {
        let examples = task.examples(&Tokenizer::Bytes, 3, 2000);
        assert_eq!(examples.len(), 2000, "{}", task.name());
        let prompts: HashSet<_> = examples.iter().map(|example| &example.prompt).collect();
        assert_eq!(prompts.len(), examples.len());
        for example in &examples {
            assert!(example.length() <= EXAMPLE_BYTES && text(example).0.is_ascii(), "{:?}", text(example));
            let (_, completion) = text(example);
            assert!(completion.len() > 1 && completion.find('\n') == Some(completion.len() - 1), "{completion:?}");
        }
        assert_eq!(task.examples(&Tokenizer::Bytes, 3, 100), examples[..100]);
        assert_ne!(task.examples(&Tokenizer::Bytes, 4, 100), examples[..100]);
    }
}

#[test]
fn a_task_with_few_prompts_gives_what_it_has() {
    let sums = Task::Arithmetic.examples(&Tokenizer::Bytes, 0, 10_000).len();
    assert!((2450..=2500).contains(&sums), "{sums}");
}

#[test]
fn no_translation_is_an_echo() {
    for example in Task::Translation.examples(&Tokenizer::Bytes, 5, 4000) {
        let (prompt, completion) = text(&example);
        assert_ne!(prompt.trim_end_matches('>'), completion.trim_end(), "copying must not be right");
    }
}

#[test]
fn sums_are_right() {
    for example in Task::Arithmetic.examples(&Tokenizer::Bytes, 0, 500) {
        let (prompt, completion) = text(&example);
        let (left, right) = prompt.trim_end_matches('=').split_once('+').unwrap();
        let sum: u32 = left.parse::<u32>().unwrap() + right.parse::<u32>().unwrap();
        assert_eq!(completion.trim_end(), sum.to_string());
    }
}

/// Reads the story again and answers by itself.
#[test]
fn answers_follow_from_the_story() {
    for example in Task::Questions.examples(&Tokenizer::Bytes, 0, 3000) {
        let (prompt, completion) = text(&example);
        let mut sentences: Vec<&str> = prompt.split(". ").collect();
        let question: Vec<&str> = sentences.pop().unwrap().trim_end_matches('?').split(' ').collect();
        let facts = sentences.iter().map(|fact| fact.split(' ').collect::<Vec<_>>());
        let asked = *question.last().unwrap();
        let answers: Vec<&str> = facts
            .filter_map(|fact| match (question[0], fact.as_slice()) {
                ("Where", [who, _, "to", "the", place]) if *who == asked => Some(*place),
                ("Who", [who, _, "the", thing]) if *thing == asked => Some(*who),
                ("What", [who, _, "the", thing]) if *who == asked => Some(*thing),
                ("Who", [_, "gave", "the", thing, "to", whom]) if *thing == asked => Some(*whom),
                _ => None,
            })
            .collect();
        assert_eq!(answers, [completion.trim_end()], "{prompt}");
    }
}

#[test]
fn validation_prompts_are_not_trained_on() {
    for task in Task::ALL {
        let split = Dataset::Examples(task.examples(&Tokenizer::Bytes, 0, 2000).into())
            .split(0, HELD_OUT, EXAMPLE_BYTES)
            .unwrap();
        let (Dataset::Examples(train), Dataset::Examples(validation)) = (split.train, split.validation) else {
            panic!("examples")
        };
        assert_eq!((train.len(), validation.len()), (1800, 200));
        let trained: HashSet<_> = train.iter().map(|lesson| lesson.prompt()).collect();
        assert!(validation.iter().all(|lesson| !trained.contains(lesson.prompt())));
    }
}

#[test]
fn examples_are_the_same_everywhere() {
    let hashes = Task::ALL.map(|task| {
        let examples = task.examples(&Tokenizer::Bytes, 0, 1000);
        let texts: String = examples.iter().map(text).flat_map(|(prompt, completion)| [prompt, completion]).collect();
        fnv(texts)
    });
    assert_eq!(hashes, [4_332_721_777_448_148_813, 12_214_286_150_085_470_208, 14_976_653_462_496_423_228]);
}
