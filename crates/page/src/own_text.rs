//! A text that a person pastes or types.

use serde::de::IgnoredAny;

/// A name for a text that a person typed, whose extension decides the format it is read in: `.jsonl`, `.json` (which is refused) or `.txt`. The name `before`
/// is used again if its extension fits the text.
pub fn own_text_name(before: Option<&str>, text: &str) -> String {
    let before = before.unwrap_or("mine.txt");
    let (stem, ending) = before.rsplit_once('.').unwrap_or((before, ""));
    let structured = ["jsonl", "json", "ndjson", "csv", "tsv"];
    let kept = match json(text) {
        Some(json) => ending.eq_ignore_ascii_case(json),
        None => !structured.iter().any(|structured| ending.eq_ignore_ascii_case(structured)),
    };
    if kept { before.to_owned() } else { format!("{stem}.{}", json(text).unwrap_or("txt")) }
}

/// The extension of the name of a text of JSON; none for another text. Its first line says enough, as long as it was meant as an example.
fn json(text: &str) -> Option<&'static str> {
    let text = text.trim_start_matches('\u{feff}').trim();
    if !text.starts_with(['{', '[']) {
        return None;
    }
    let first = text.lines().next().unwrap_or_default();
    let is_json = |text: &str| serde_json::from_str::<IgnoredAny>(text).is_ok();
    let is_example = ["\"prompt\"", "\"completion\""].iter().any(|field| first.contains(field));
    match first.starts_with('{') && (is_example || is_json(first)) {
        true => Some("jsonl"),
        false => is_json(text).then_some("json"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_what_it_holds() {
        const LINES: &str =
            "{\"prompt\": \"1+1=\", \"completion\": \"2\"}\n{\"prompt\": \"2+1=\", \"completion\": \"3\"}\n";
        for (before, text, name) in [
            (None, "Once there was a cat.", "mine.txt"),
            (None, LINES, "mine.jsonl"),
            (Some("mine.txt"), LINES, "mine.jsonl"),
            (Some("mine.jsonl"), "Once there was a cat.", "mine.txt"),
            (Some("sums.JSONL"), "Once there was a cat.", "sums.txt"),
            (Some("sums.JSONL"), LINES, "sums.JSONL"),
            (Some("cats.md"), "{} is an empty set, and a cat.", "cats.md"),
            (Some("my.cats.txt"), LINES, "my.cats.jsonl"),
            (Some("cats"), LINES, "cats.jsonl"),
            (Some("cats"), "Once there was a cat.", "cats"),
            (Some("cats.csv"), "Once there was a cat.", "cats.txt"),
            (None, "[1,\n2]", "mine.json"),
            (None, "[Verse 1]\nOh", "mine.txt"),
            (Some("sums.jsonl"), "", "sums.txt"),
            // Meant as such a line, it is read as one, and told what it lacks.
            (None, "\u{feff}\n  {\"prompt\": \"1+1=\", completion: 2}\n", "mine.jsonl"),
        ] {
            assert_eq!(own_text_name(before, text), name, "{text}");
        }
    }
}
