//! Data that are there twice: within the part to train on, and in both parts.

use std::{collections::HashSet, hash::Hash};

use crate::{dataset::Split, example::Lesson, reader::Found};

/// A sentence on examples that are repeated, and on those held out whose prompt is trained on. `train` and `validation` are the files that the parts were
/// read from, the second one if there is one. None for plain text, whose sentences nobody told apart.
pub fn in_words(split: &Split, train: &Found, validation: Option<&Found>) -> Option<String> {
    if let (Some(examples), Some(held_out)) = (split.train.examples(), split.validation.examples()) {
        let wholes = repeated(examples.iter().map(|lesson| lesson.tokens));
        let prompts: HashSet<&[u32]> = examples.iter().map(Lesson::prompt).collect();
        let leaked = held_out.iter().filter(|lesson| prompts.contains(lesson.prompt())).count();
        return Some(sentence(
            wholes,
            examples.len(),
            "example",
            Some((leaked, held_out.len(), "have a prompt that is trained on, too")),
        ));
    }
    if let (Some(texts), Some(held_out)) = (split.train.labelled(), split.validation.labelled()) {
        let trained: HashSet<&[u32]> = texts.iter().map(|text| text.tokens).collect();
        let leaked = held_out.iter().filter(|text| trained.contains(text.tokens)).count();
        let repeated = repeated(texts.iter().map(|text| text.tokens));
        return Some(sentence(repeated, texts.len(), "text", Some((leaked, held_out.len(), "are trained on, too"))));
    }
    if train.texts.is_empty() {
        return None;
    }
    let leaked = validation.filter(|found| !found.texts.is_empty()).map(|found| {
        let trained: HashSet<u64> = train.texts.iter().copied().collect();
        let leaked = found.texts.iter().filter(|text| trained.contains(text)).count();
        (leaked, found.texts.len(), "are trained on, too")
    });
    Some(sentence(repeated(train.texts.iter().copied()), train.texts.len(), "text", leaked))
}

/// The number of items that equal an earlier one.
fn repeated<T: Eq + Hash>(all: impl Iterator<Item = T>) -> usize {
    let mut seen = HashSet::new();
    all.map(|one| seen.insert(one)).filter(|is_new| !is_new).count()
}

fn sentence(repeated: usize, of: usize, what: &str, leaked: Option<(usize, usize, &str)>) -> String {
    let repeats = match repeated {
        0 => format!("No {what} to train on is there twice"),
        1 => format!("1 of {of} {what}s to train on repeats another"),
        _ => format!("{repeated} of {of} {what}s to train on repeat others"),
    };
    match leaked {
        None => format!("{repeats}."),
        Some((0, _, how)) => {
            format!("{repeats}; none of those held out {}.", how.replacen("have", "has", 1).replacen("are", "is", 1))
        }
        Some((leaked, of, how)) => format!("{repeats}; {leaked} of {of} held out {how}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dataset::Dataset, reader::Reader};
    use loralab_tokenizer::Tokenizer;

    fn read(lines: &[&str]) -> Found {
        Reader::new(&Tokenizer::Bytes, 64).read(Some("a.jsonl"), lines.join("\n").as_bytes()).expect("lines of JSON")
    }

    #[test]
    fn repeats_and_leaks_are_counted() {
        let line =
            |prompt: &str, completion: &str| format!("{{\"prompt\": \"{prompt}\", \"completion\": \"{completion}\"}}");
        let [one, other, third] = [line("a", "b"), line("a", "c"), line("d", "b")];
        let train = read(&[&one, &one, &other, &one]);
        for (validation, wanted) in [
            (
                vec![&third[..]],
                "2 of 4 examples to train on repeat others; none of those held out has a prompt that is trained on, too.",
            ),
            (
                vec![&third, &other],
                "2 of 4 examples to train on repeat others; 1 of 2 held out have a prompt that is trained on, too.",
            ),
        ] {
            let validation = read(&validation);
            let split = train.dataset.clone().with_validation(validation.dataset.clone(), 64).expect("both fit");
            assert_eq!(in_words(&split, &train, Some(&validation)).as_deref(), Some(wanted));
        }
        let texts = read(&["{\"text\": \"so\"}", "{\"text\": \"no\"}", "{\"text\": \"so\"}"]);
        let split = Split { train: texts.dataset.clone(), validation: Dataset::Text(vec![1]), notes: vec![] };
        assert_eq!(in_words(&split, &texts, None).as_deref(), Some("1 of 3 texts to train on repeats another."));
        let said = in_words(&split, &texts, Some(&read(&["{\"text\": \"so\"}"]))).expect("texts");
        assert!(said.ends_with("; 1 of 1 held out are trained on, too."), "{said}");
    }
}
