//! Files that a program wrote for programs: what is learnt from them is not meant to be their syntax.

use loralab_tokenizer::Tokenizer;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::{dataset::Dataset, error::Error, table::separator};

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
    /// Values separated by semicolons.
    Semicolons,
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
            Self::Semicolons => "values separated by semicolons",
            Self::Tsv => "tab-separated values",
        }
    }

    /// What would be read instead.
    pub(crate) const fn remedy(self) -> &'static str {
        match self {
            Self::Examples => "Put it in a file whose name ends in .jsonl, and its prompts and completions are learnt",
            Self::JsonLines => {
                "Give each line the fields prompt and completion and put it in such a file; or put it in one whose name ends in .raw, and every byte of it is learnt"
            }
            Self::Json | Self::Csv | Self::Semicolons | Self::Tsv => {
                "Write it as such lines; or put it in a file whose name ends in .raw, and every byte of it is learnt"
            }
        }
    }
}

/// The format that a text without a name looks to be written in; none for plain text.
///
/// JSON is what the JSON parser reads from the first letter to the last. Lines of JSON count also where some of them are broken, as
/// long as more than half are whole objects. A table has at least four lines of equally many values.
pub fn looks_structured(text: &str) -> Option<Structure> {
    let text = text.trim_start_matches('\u{feff}');
    json(text.trim()).or_else(|| {
        separator(text).map(|separator| match separator {
            ',' => Structure::Csv,
            ';' => Structure::Semicolons,
            _ => Structure::Tsv,
        })
    })
}

fn json(text: &str) -> Option<Structure> {
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
    /// As [`Dataset::jsonl`] and [`Dataset::text`]; and, unless the name ends in `.raw`, for what is no plain text:
    /// [`Error::Structured`] by what [`looks_structured`], [`Error::Named`] by its name (`.json`, `.ndjson`, `.csv`, `.tsv`).
    pub fn file(name: &str, bytes: &[u8], tokenizer: &Tokenizer, tokens: usize) -> Result<Self, Error> {
        let ends = |ending: &str| {
            let at = name.len().checked_sub(ending.len());
            at.and_then(|at| name.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(ending))
        };
        if ends(".jsonl") {
            return Self::jsonl(bytes, tokenizer, tokens);
        }
        if bytes.is_empty() || ends(".raw") {
            return Self::text(bytes, tokenizer, tokens);
        }
        if let Some(structure) = structure_of(bytes) {
            return Err(Error::Structured { structure });
        }
        let by_name = [
            (".csv", Structure::Csv),
            (".tsv", Structure::Tsv),
            (".json", Structure::Json),
            (".ndjson", Structure::JsonLines),
        ];
        match by_name.into_iter().find(|(ending, _)| ends(ending)) {
            Some((_, structure)) => Err(Error::Named { structure }),
            None => Self::text(bytes, tokenizer, tokens),
        }
    }

    /// Data without a name, as they come through a pipe: JSON lines with examples where they look so, else a text.
    ///
    /// # Errors
    /// As [`Dataset::jsonl`] and [`Dataset::text`]; and [`Error::Structured`] for what else [`looks_structured`].
    pub fn unnamed(bytes: &[u8], tokenizer: &Tokenizer, tokens: usize) -> Result<Self, Error> {
        match structure_of(bytes) {
            Some(Structure::Examples) => Self::jsonl(bytes, tokenizer, tokens),
            Some(structure) => Err(Error::Structured { structure }),
            None => Self::text(bytes, tokenizer, tokens),
        }
    }
}

fn structure_of(bytes: &[u8]) -> Option<Structure> {
    std::str::from_utf8(bytes).ok().and_then(looks_structured)
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
        let long = table.repeat(2);
        for (name, text, wanted) in [
            ("a.jsonl", &*lines, None),
            ("a.JSONL", &lines, None),
            ("a.ndjson", &lines, Some("ends in .jsonl, and its prompts")),
            ("a", &lines, Some("it holds JSON lines")),
            ("a.txt", &lines, Some("ends in .jsonl, and its prompts")),
            ("a.raw", &lines, None),
            ("a.txt", values, Some("ends in .raw")),
            ("a.log", values, Some("ends in .raw")),
            ("stdin", "[1,\n2]", Some("it holds JSON,")),
            ("a.ndjson", "plain", Some("its name is that of JSON lines")),
            ("a.json", "{ broken", Some("its name is that of JSON,")),
            ("a.csv", table, Some("its name is that of comma-separated values")),
            ("a.csv", "Once there was a cat.", Some("if it is plain text, give it a name that ends in .txt")),
            ("a.csv", &long, Some("it holds comma-separated values")),
            ("a.TSV", "a\tb\n", Some("its name is that of tab-separated values")),
            ("a", table, None),
            ("csv", table, None),
            ("é", table, None),
            ("a", &long, Some("it holds comma-separated values")),
            ("a.txt", &long, Some("it holds comma-separated values")),
            ("a.dat", &long.replace(',', ";"), Some("it holds values separated by semicolons")),
            ("a.md", &long.replace(',', "\t"), Some("it holds tab-separated values")),
            ("a.RAW", &long, None),
        ] {
            // Long enough for an example, or short enough for a text.
            let tokens = if name.to_lowercase().ends_with("jsonl") { 64 } else { 2 };
            match (Dataset::file(name, text.as_bytes(), &Tokenizer::Bytes, tokens), wanted) {
                (Ok(_), None) => {}
                (Err(error @ (Error::Structured { .. } | Error::Named { .. })), Some(words)) => {
                    assert!(error.to_string().contains(words), "{name}: {error}");
                }
                (found, _) => panic!("{name} {text:?}: {found:?}"),
            }
        }
        assert_eq!(Dataset::file("a.json", b"", &Tokenizer::Bytes, 2), Err(Error::Empty));
        assert_eq!(
            Dataset::file("a.csv", b"\0,", &Tokenizer::Bytes, 2),
            Err(Error::Named { structure: Structure::Csv })
        );
    }

    #[test]
    fn data_without_a_name_are_known_by_their_content() {
        let lines = format!("{EXAMPLE}\n{EXAMPLE}\n");
        assert_eq!(
            Dataset::unnamed(lines.as_bytes(), &Tokenizer::Bytes, 64),
            Dataset::jsonl(lines.as_bytes(), &Tokenizer::Bytes, 64)
        );
        assert!(matches!(
            Dataset::unnamed(format!("{lines}{{\n").as_bytes(), &Tokenizer::Bytes, 64),
            Err(Error::Line { line: 3, .. })
        ));
        let values = Dataset::unnamed(b"{\"a\": 1}\n{\"a\": 2}\n", &Tokenizer::Bytes, 2);
        assert_eq!(values, Err(Error::Structured { structure: Structure::JsonLines }));
        assert_eq!(
            Dataset::unnamed(b"Once there was a cat.", &Tokenizer::Bytes, 2),
            Dataset::text(b"Once there was a cat.", &Tokenizer::Bytes, 2)
        );
        assert_eq!(Dataset::unnamed(b"", &Tokenizer::Bytes, 2), Err(Error::Empty));
    }
}
