//! Examples as a model reads them, for a person who checks what is taught.

use std::fmt::Write;

use loralab_data::{Label, Lesson, Sampler, Split};
use loralab_experiment::Resolved;
use loralab_tokenizer::Tokenizer;

/// Characters of a part that are shown, from its beginning and from its end.
const SHOWN: usize = 400;

/// The first examples that a training of the first seed sees, at most `count`: each as its parts, line by line, after the word `read` or `taught`.
///
/// # Errors
/// If the data do not fit the sequences.
pub fn in_words(
    experiment: &Resolved,
    data: &Split,
    tokenizer: &Tokenizer,
    count: usize,
) -> Result<String, loralab_data::Error> {
    let Resolved { tokens, ref seeds, .. } = *experiment;
    let count = count.min(data.train.sequences(tokens));
    let mut words = String::new();
    let batch = Sampler::new(&data.train, seeds[0], count, tokens)?.batch(0);
    for sequence in 0..count {
        let _ = write!(words, "{}", if sequence == 0 { "" } else { "\n" });
        if let (Some(texts), Some(index)) = (data.train.labelled(), batch.examples[sequence]) {
            let text = texts.at(index);
            let length = text.tokens.len();
            let _ = writeln!(words, "Text {} of {}: {length} of {tokens} tokens.", index + 1, texts.len());
            let label = match (text.label, texts.labels().names()) {
                (Label::Class(class), Some(names)) => names[class as usize].clone(),
                (Label::Class(class), None) => class.to_string(),
                (Label::Score(score), _) => score.to_string(),
            };
            words += &part("read", &tokenizer.decode(text.tokens));
            words += &part("label", &label);
            continue;
        }
        match data.train.examples() {
            Some(examples) => {
                // Of packs, whose sequences hold several, the first examples are shown.
                let index = batch.examples[sequence].unwrap_or(sequence);
                let lesson = examples.at(index);
                let taught: usize = lesson.taught().map(|run| run.len()).sum();
                let _ = writeln!(
                    words,
                    "Example {} of {}: {} of {tokens} tokens, {taught} of them taught.",
                    index + 1,
                    examples.len(),
                    lesson.tokens.len()
                );
                words += &parts(lesson, tokenizer);
            }
            None => {
                let rows = sequence * tokens..(sequence + 1) * tokens;
                let _ = writeln!(words, "A sequence of {tokens} tokens, all of them taught.");
                words += &part("taught", &tokenizer.decode(&batch.targets[rows]));
            }
        }
    }
    Ok(words.trim_end().to_owned())
}

/// The runs of an example that are read and those that are taught, in turn.
fn parts(lesson: Lesson<'_>, tokenizer: &Tokenizer) -> String {
    let (mut words, mut done) = (String::new(), 0);
    let mut run = |name, run: std::ops::Range<usize>| {
        if !run.is_empty() {
            words += &part(name, &tokenizer.decode(&lesson.tokens[run]));
        }
    };
    for taught in lesson.taught() {
        run("read", done..taught.start);
        done = taught.end;
        run("taught", taught);
    }
    run("read", done..lesson.tokens.len());
    words
}

/// The lines of a text, with the name before the first. A line that ends has `⏎`, so that what is taught to end is seen to.
fn part(name: &str, text: &str) -> String {
    let mut words = String::new();
    for (index, line) in shortened(text).split_inclusive('\n').enumerate() {
        let name = if index == 0 { name } else { "" };
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "⏎"));
        let _ = writeln!(words, "{name:>8} | {}{end}", plain(line));
    }
    words
}

/// A text without its middle if it is long.
fn shortened(text: &str) -> String {
    let length = text.chars().count();
    if length <= 2 * SHOWN {
        return text.to_owned();
    }
    let beginning: String = text.chars().take(SHOWN).collect();
    let end: String = text.chars().skip(length - SHOWN).collect();
    format!("{beginning} […{} characters…] {end}", length - 2 * SHOWN)
}

/// A line in which no character does anything to a terminal.
fn plain(line: &str) -> String {
    let each = line.chars().map(|c| match c {
        '\t' => c.to_string(),
        c if c.is_control() => c.escape_unicode().to_string(),
        c => c.to_string(),
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use loralab_data::Examples;

    #[test]
    fn what_is_taught_stands_apart() {
        let mut examples = Examples::default();
        let tokens = Tokenizer::Bytes.encode("user: so?\nassistant: no\nuser: \u{1b}[31m\n");
        let taught = 21..24;
        examples.push(&tokens, &[taught]);
        let words = parts(examples.at(0), &Tokenizer::Bytes);
        let wanted = "    read | user: so?⏎\n         | assistant: \n  taught | no⏎\n    read | user: \\u{1b}[31m⏎\n";
        assert_eq!(words, wanted);
    }

    #[test]
    fn a_long_part_has_no_middle() {
        let words = part("taught", &"ab".repeat(1000));
        assert!(words.contains("abab […1200 characters…] abab") && words.len() < 1000, "{words}");
    }
}
