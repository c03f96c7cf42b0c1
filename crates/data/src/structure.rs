//! Files that a program wrote for programs: what is learnt from them is not meant to be their syntax.

use loralab_tokenizer::Tokenizer;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::{dataset::Dataset, error::Error};

/// A format that a text is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Structure {
    /// JSON lines that hold a prompt and a completion each, as [`Dataset::jsonl`] reads them.
    Examples,
    /// JSON lines that hold something else.
    JsonLines,
    /// One value of JSON, or several that are not a line each.
    Json,
    /// Comma-separated values.
    Csv,
    /// Tab-separated values.
    Tsv,
}

impl Structure {
    /// The structure in words that follow "it holds".
    pub const fn words(self) -> &'static str {
        match self {
            Self::Examples | Self::JsonLines => "JSON lines",
            Self::Json => "JSON",
            Self::Csv => "comma-separated values",
            Self::Tsv => "tab-separated values",
        }
    }

    /// What would be read instead.
    pub(crate) const fn remedy(self) -> &'static str {
        match self {
            Self::Examples => "Name it .jsonl, and its prompts and completions are learnt",
            Self::JsonLines => {
                "Give each line the fields of {\"prompt\": \"...\", \"completion\": \"...\"} and name it .jsonl, or name it .txt to learn every byte of it"
            }
            Self::Json | Self::Csv | Self::Tsv => {
                "Write it as lines of {\"prompt\": \"...\", \"completion\": \"...\"} and name it .jsonl, or name it .txt to learn every byte of it"
            }
        }
    }
}

/// The format that a text without a name looks to be written in; none for plain text.
///
/// JSON is what the JSON parser reads from the first letter to the last. Lines of JSON count also where some of them are broken, as
/// long as more than half are whole objects.
pub fn looks_structured(text: &str) -> Option<Structure> {
    let text = text.trim_start_matches('\u{feff}').trim();
    if !text.starts_with(['{', '[']) {
        return None;
    }
    let lines = || text.lines().filter(|line| !line.trim().is_empty());
    let objects = lines().filter(|line| is_object(line)).count();
    let count = lines().count();
    if 2 * objects > count {
        // One object alone is a line of examples only if it holds one.
        let examples = lines().filter(|line| is_example(line)).count();
        return Some(match (2 * examples > count, count) {
            (true, _) => Structure::Examples,
            (false, 1) => Structure::Json,
            (false, _) => Structure::JsonLines,
        });
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    values.all(|value| value.is_ok()).then_some(Structure::Json)
}

fn is_object(line: &str) -> bool {
    line.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(line).is_ok()
}

fn is_example(line: &str) -> bool {
    let value = serde_json::from_str::<Value>(line).unwrap_or_default();
    ["prompt", "completion"].iter().all(|field| value[field].is_string())
}

impl Dataset {
    /// The data in a file of this name, for sequences of `tokens` tokens: JSON lines where the name ends in `.jsonl`, else a text.
    ///
    /// # Errors
    /// As [`Dataset::jsonl`] and [`Dataset::text`]; and [`Error::Structured`] for what is no plain text: by its name (`.json`, `.ndjson`,
    /// `.csv`, `.tsv`), or by what [`looks_structured`], unless the name ends in `.txt` or `.md` and the lines are no examples.
    pub fn file(name: &str, bytes: &[u8], tokenizer: &Tokenizer, tokens: usize) -> Result<Self, Error> {
        let ends = |ending: &str| {
            let at = name.len().checked_sub(ending.len());
            at.and_then(|at| name.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(ending))
        };
        if ends(".jsonl") {
            return Self::jsonl(bytes, tokenizer, tokens);
        }
        let by_content = std::str::from_utf8(bytes).ok().and_then(looks_structured);
        let is_text = [".txt", ".md"].into_iter().any(ends);
        let by_name = [
            (".csv", Structure::Csv),
            (".tsv", Structure::Tsv),
            (".json", Structure::Json),
            (".ndjson", Structure::JsonLines),
        ];
        let by_name = by_name.into_iter().find(|(ending, _)| ends(ending)).map(|(_, structure)| structure);
        match by_content.filter(|found| !is_text || *found == Structure::Examples).or(by_name) {
            Some(structure) if !bytes.is_empty() => Err(Error::Structured { structure }),
            _ => Self::text(bytes, tokenizer, tokens),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"{"prompt": "Is it so?", "completion": "yes"}"#;

    #[test]
    fn structure_is_told_from_text() {
        let lines = |line: &str| format!("{line}\n\n{line}\r\n{line}");
        for (text, wanted) in [
            (lines(EXAMPLE), Some(Structure::Examples)),
            (format!("\u{feff}\n{EXAMPLE}"), Some(Structure::Examples)),
            (format!("{}\n{{\"prompt\": \"torn", lines(EXAMPLE)), Some(Structure::Examples)),
            (lines(r#"{"text": "a"}"#), Some(Structure::JsonLines)),
            (lines(r#"{"prompt": 3, "completion": "a"}"#), Some(Structure::JsonLines)),
            (r#"{"text": "a"}"#.to_owned(), Some(Structure::Json)),
            ("{\n  \"text\": [\n 1 ]\n}\n".to_owned(), Some(Structure::Json)),
            (format!("[{EXAMPLE},\n{EXAMPLE}]"), Some(Structure::Json)),
            ("{\n\"a\": 1\n}\n{\n\"a\": 2\n}".to_owned(), Some(Structure::Json)),
            (lines("[1, 2]"), Some(Structure::Json)),
            (String::new(), None),
            ("Once upon a time,\n{\"a\": 1}".to_owned(), None),
            ("[Verse 1]\nOh".to_owned(), None),
            ("{ int x = 1; }\n{ int y = 2; }".to_owned(), None),
            ("{\"a\": 1}\nand then\nhe said".to_owned(), None),
            ("3\n4\n".to_owned(), None),
        ] {
            assert_eq!(looks_structured(&text), wanted, "{text}");
        }
    }

    #[test]
    fn names_and_contents_decide_together() {
        let (lines, values) = (format!("{EXAMPLE}\n{EXAMPLE}\n"), "{\"a\": 1}\n{\"a\": 2}\n");
        let table = "prompt,completion\nIs it so?,yes\n";
        for (name, text, wanted) in [
            ("a.jsonl", &*lines, None),
            ("a.JSONL", &lines, None),
            ("a.ndjson", &lines, Some("Name it .jsonl, and")),
            ("a", &lines, Some("holds JSON lines")),
            ("a.txt", &lines, Some("Name it .jsonl, and")),
            ("a.txt", values, None),
            ("a.log", values, Some("name it .txt")),
            ("stdin", "[1,\n2]", Some("holds JSON,")),
            ("a.ndjson", "plain", Some("JSON lines")),
            ("a.json", "{ broken", Some("JSON")),
            ("a.csv", table, Some("comma-separated values")),
            ("a.TSV", "a\tb\n", Some("tab-separated values")),
            ("a", table, None),
            ("csv", table, None),
            ("é", table, None),
        ] {
            // Long enough for an example, or short enough for a text.
            let tokens = if name.to_lowercase().ends_with("jsonl") { 64 } else { 2 };
            match (Dataset::file(name, text.as_bytes(), &Tokenizer::Bytes, tokens), wanted) {
                (Ok(_), None) => {}
                (Err(error @ Error::Structured { .. }), Some(words)) => {
                    assert!(error.to_string().contains(words), "{name}: {error}");
                }
                (found, _) => panic!("{name} {text:?}: {found:?}"),
            }
        }
        assert_eq!(Dataset::file("a.json", b"", &Tokenizer::Bytes, 2), Err(Error::Empty));
        let table = Dataset::file("a.csv", b"\0,", &Tokenizer::Bytes, 2);
        assert_eq!(table, Err(Error::Structured { structure: Structure::Csv }));
    }
}
