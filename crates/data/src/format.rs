//! The format of a file, recognised by its content: plain text, or records that a program wrote for programs.

use serde::de::IgnoredAny;

use crate::table::{Layout, layout};

/// A format that data are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Plain text, of which every byte is learnt.
    Text,
    /// A JSON object in each line.
    JsonLines,
    /// One value of JSON, or several that are not a line each.
    Json,
    /// A line of values for each record.
    Table(Layout),
    /// Apache Parquet.
    Parquet,
}

impl Format {
    /// The format in words that follow "it holds" or "from".
    pub const fn words(self) -> &'static str {
        match self {
            Self::Text => "plain text",
            Self::JsonLines => "JSON lines",
            Self::Json => "JSON",
            Self::Table(Layout { separator: ',', .. }) => "comma-separated values",
            Self::Table(Layout { separator: ';', .. }) => "values separated by semicolons",
            Self::Table(_) => "tab-separated values",
            Self::Parquet => "Parquet",
        }
    }
}

/// The first bytes of a Parquet file.
const PARQUET: &[u8] = b"PAR1";

/// The format of data in a file of this name, or of data without a name. The content decides, but for three names: `.raw` is plain text
/// whatever it holds, `.jsonl` is JSON lines though the most be torn, and `.csv`, `.tsv` and `.json` are what they say where the content is too short to tell.
pub fn format_of(name: Option<&str>, bytes: &[u8]) -> Format {
    let name = name.unwrap_or_default();
    let ends = |ending: &str| {
        let at = name.len().checked_sub(ending.len());
        at.and_then(|at| name.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(ending))
    };
    if ends(".raw") || bytes.is_empty() {
        return Format::Text;
    }
    if bytes.starts_with(PARQUET) {
        return Format::Parquet;
    }
    if ends(".jsonl") {
        return Format::JsonLines;
    }
    let by_content = std::str::from_utf8(bytes).ok().and_then(recognise);
    by_content.or_else(|| by_name(&ends)).unwrap_or(Format::Text)
}

fn by_name(ends: &dyn Fn(&str) -> bool) -> Option<Format> {
    let names = [
        (".csv", Format::Table(Layout { separator: ',', quotes: true })),
        (".tsv", Format::Table(Layout { separator: '\t', quotes: false })),
        (".json", Format::Json),
        (".ndjson", Format::JsonLines),
        (".parquet", Format::Parquet),
    ];
    names.into_iter().find(|(ending, _)| ends(ending)).map(|(_, format)| format)
}

/// The format that a text looks to be written in; none for plain text.
///
/// JSON is what the JSON parser reads from the first letter to the last. Lines of JSON count also where some of them are broken, as
/// long as more than half are whole objects. A table has at least four lines of equally many values.
pub fn recognise(text: &str) -> Option<Format> {
    let text = text.trim_start_matches('\u{feff}');
    json(text.trim()).or_else(|| layout(text).map(Format::Table))
}

fn json(text: &str) -> Option<Format> {
    if !text.starts_with(['{', '[']) {
        return None;
    }
    let lines = || text.lines().filter(|line| !line.trim().is_empty());
    let objects = lines().filter(|line| is_object(line)).count();
    let count = lines().count();
    if 2 * objects > count {
        return Some(if count == 1 { Format::Json } else { Format::JsonLines });
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    values.all(|value| value.is_ok()).then_some(Format::Json)
}

fn is_object(line: &str) -> bool {
    line.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(line).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"{"prompt": "Is it so?", "completion": "yes"}"#;
    const COMMAS: Format = Format::Table(Layout { separator: ',', quotes: true });

    #[test]
    fn records_are_told_from_text() {
        let lines = |line: &str| format!("{line}\n\n{line}\r\n{line}");
        for (text, wanted) in [
            (lines(EXAMPLE), Some(Format::JsonLines)),
            (format!("\u{feff}\n{EXAMPLE}"), Some(Format::Json)),
            (format!("{}\n{{\"prompt\": \"torn", lines(EXAMPLE)), Some(Format::JsonLines)),
            (lines(r#"{"text": "a"}"#), Some(Format::JsonLines)),
            (r#"{"text": "a"}"#.to_owned(), Some(Format::Json)),
            ("{\n  \"text\": [\n 1 ]\n}\n".to_owned(), Some(Format::Json)),
            (format!("[{EXAMPLE},\n{EXAMPLE}]"), Some(Format::Json)),
            ("{\n\"a\": 1\n}\n{\n\"a\": 2\n}".to_owned(), Some(Format::Json)),
            (lines("[1, 2]"), Some(Format::Json)),
            (String::new(), None),
            ("Once upon a time,\n{\"a\": 1}".to_owned(), None),
            ("[Verse 1]\nOh".to_owned(), None),
            ("{ int x = 1; }\n{ int y = 2; }".to_owned(), None),
            ("{\"a\": 1}\nand then\nhe said".to_owned(), None),
            ("3\n4\n".to_owned(), None),
        ] {
            assert_eq!(recognise(&text), wanted, "{text}");
        }
    }

    #[test]
    fn content_decides_and_names_help() {
        let (lines, values) = (format!("{EXAMPLE}\n{EXAMPLE}\n"), "{\"a\": 1}\n{\"a\": 2}\n");
        let table = "prompt,completion\nIs it so?,yes\n";
        let long = table.repeat(2);
        let tabs = Format::Table(Layout { separator: '\t', quotes: false });
        let semicolons = Format::Table(Layout { separator: ';', quotes: true });
        for (name, text, wanted) in [
            (Some("a.jsonl"), &*lines, Format::JsonLines),
            (Some("a.JSONL"), "{\"torn\n", Format::JsonLines),
            (Some("a.ndjson"), &lines, Format::JsonLines),
            (Some("a"), &lines, Format::JsonLines),
            (Some("a.txt"), &lines, Format::JsonLines),
            (Some("a.csv"), &lines, Format::JsonLines),
            (None, &lines, Format::JsonLines),
            (Some("a.raw"), &lines, Format::Text),
            (Some("a.RAW"), &long, Format::Text),
            (Some("a.log"), values, Format::JsonLines),
            (Some("stdin"), "[1,\n2]", Format::Json),
            (Some("a.ndjson"), "plain", Format::JsonLines),
            (Some("a.json"), "{ broken", Format::Json),
            (Some("a.csv"), table, COMMAS),
            (Some("a.TSV"), "a\tb\n", tabs),
            (Some("a"), table, Format::Text),
            (Some("csv"), table, Format::Text),
            (Some("é"), table, Format::Text),
            (Some("a"), &long, COMMAS),
            (None, &long, COMMAS),
            (Some("a.txt"), &long, COMMAS),
            (Some("a.dat"), &long.replace(',', ";"), semicolons),
            (Some("a.md"), &long.replace(',', "\t"), tabs),
            (Some("a.txt"), "PAR1\0\0", Format::Parquet),
            (Some("a.parquet"), "plain", Format::Parquet),
            (Some("a.json"), "", Format::Text),
        ] {
            assert_eq!(format_of(name, text.as_bytes()), wanted, "{name:?} {text}");
        }
        assert_eq!(format_of(Some("a.csv"), b"\0,"), COMMAS);
    }
}
