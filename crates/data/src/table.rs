//! Tables in plain text: lines of values with a separator between them.
//!
//! Prose, verse, dialogue and source code have commas and semicolons, too. They differ from tables in that their number changes from line to line, a space
//! follows them, or brackets are open around them.

/// Rows that are looked at, in so many bytes at most, and the fewest that make a table.
const ROWS: usize = 200;
const BYTES: usize = 1 << 20;
const FEWEST: usize = 4;

/// The way that a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The character between two values: a tab, a semicolon or a comma.
    pub separator: char,
    /// True if quotes around a value are not part of it, and may hold separators and line breaks.
    pub quotes: bool,
}

/// The layout of a text that is plainly a table.
///
/// Between tabs a quote is mostly a quote, as in GLUE's files, so there it is one unless all values that begin with one end with one, too.
pub fn layout(text: &str) -> Option<Layout> {
    let text = if text.len() > BYTES {
        let beginning = &text[..text.floor_char_boundary(BYTES)];
        &beginning[..beginning.rfind('\n')?]
    } else {
        text
    };
    let layout = |separator: char| {
        // A quote may be around a value or part of it.
        let [with, without] = [true, false].map(|quotes| rows(text, separator, quotes));
        let opens = |value: &&&str| value.starts_with('"');
        let are_quoted = separator != '\t'
            || without.iter().flatten().any(|value| opens(&value))
                && without.iter().flatten().filter(opens).all(|value| is_quoted(value));
        let [with, without] = [with, without].map(|rows| is_table(rows, separator));
        (with || without).then_some(Layout { separator, quotes: with && (are_quoted || !without) })
    };
    ['\t', ';', ','].into_iter().find_map(layout)
}

/// The first rows, each the values that the separator is between; with `quotes`, not where it or the line's end is within quotes.
fn rows(text: &str, separator: char, quotes: bool) -> Vec<Vec<&str>> {
    let (mut rows, mut row, mut start) = (vec![], vec![], 0);
    let (mut open, mut before) = (false, '\n');
    for (at, c) in text.char_indices() {
        match c {
            // At the beginning of a value, at its end, or the second of two that stand for one.
            '"' if quotes && (open || [separator, '\n', '"'].contains(&before)) => open = !open,
            _ if open => {}
            '\n' => {
                row.push(text[start..at].trim_end_matches('\r'));
                start = at + 1;
                let ended = std::mem::take(&mut row);
                if ended.iter().any(|value| !value.trim().is_empty()) {
                    rows.push(ended);
                }
                if rows.len() == ROWS {
                    return rows;
                }
            }
            _ if c == separator => {
                row.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        before = c;
    }
    if start < text.len() {
        row.push(&text[start..]);
        rows.push(row);
    }
    rows
}

fn is_table(mut rows: Vec<Vec<&str>>, separator: char) -> bool {
    // A line of verse or of code may end in what would be a separator.
    while rows.iter().all(|row| row.last().is_some_and(|value| value.trim().is_empty())) && !rows.is_empty() {
        for row in &mut rows {
            row.pop();
        }
    }
    let columns = rows.first().map_or(0, Vec::len);
    if rows.len() < FEWEST || columns < 2 || rows.iter().any(|row| row.len() != columns) {
        return false;
    }
    let share = |is: &dyn Fn(&[&str]) -> bool| rows.iter().filter(|row| is(row)).count() as f64 / rows.len() as f64;
    // Indented lines are code.
    if share(&|row| row[0].is_empty() || row[0].starts_with(char::is_whitespace)) > 0.5 {
        return false;
    }
    // f(a,b) or {a;b}.
    if share(&|row| row.iter().any(|value| is_open(value))) > 0.25 {
        return false;
    }
    if separator == '\t' {
        return true;
    }
    // The comma of a number, as in 12:00:00,123 or 1,024 tons.
    if columns == 2 && share(&|row| is_within_a_number(row[0], row[1])) > 0.75 {
        return false;
    }
    // As in prose, where a space or the line's end follows.
    let is_spaced = |row: &[&str]| row[1..].iter().any(|value| value.starts_with(' '));
    let is_prose = share(&is_spaced) > 0.25 || share(&|row| is_spaced(row) || row[columns - 1].is_empty()) > 0.5;
    // Above a column, its name may stand.
    let column = |at: usize, is: &dyn Fn(&str) -> bool| rows[1..].iter().all(|row| is(row[at].trim()));
    !is_prose || (0..columns).any(|at| column(at, &is_number) || column(at, &is_quoted))
}

fn is_number(value: &str) -> bool {
    value.parse::<f64>().is_ok()
}

fn is_quoted(value: &str) -> bool {
    value.len() > 1 && value.starts_with('"') && value.ends_with('"')
}

/// True if a bracket is open at the end of a value, or closed that was not opened in it.
fn is_open(value: &str) -> bool {
    let count = |brackets: [char; 3]| value.chars().filter(|c| brackets.contains(c)).count();
    count(['(', '[', '{']) != count([')', ']', '}'])
}

fn is_within_a_number(before: &str, after: &str) -> bool {
    let digits = after.chars().take_while(char::is_ascii_digit).count();
    before.ends_with(|c: char| c.is_ascii_digit()) && digits == 3 && digits < after.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAESAR: &str = "First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n";

    #[test]
    fn tables_are_told_by_their_separator() {
        let sentences = "text,label\nIt is so,1\nIt is not,0\nIt was,1\n";
        for (text, wanted) in [
            (sentences.to_owned(), ','),
            (sentences.replace('\n', "\r\n\r\n"), ','),
            (sentences.trim_end().to_owned(), ','),
            (sentences.replace(',', ";"), ';'),
            (sentences.replace(',', "\t"), '\t'),
            // Quoted values hold separators, line breaks, and quotes that are doubled.
            ("a,b\n\"Yes, \"\"he\"\" said,\nand left\",\"\"\n\"\"\"No,\"\"\",1\nx,\"y,z\"\n".to_owned(), ','),
            // A quote that is not closed, as tab-separated values may have.
            ("so\t1\n\"so\t1\nso\t0\nso\t1\nso\t0\n".to_owned(), '\t'),
            // Decimal commas.
            ("1,5;2,5;a\n1,25;2;b\n3;4;c\n5;6;d\n".to_owned(), ';'),
            // A space after each separator, beside numbers or quotes.
            ("39, State-gov, 77516\n50, Private, 83311\n38, Private, 215646\n53, Private, 234721\n".to_owned(), ','),
            ("\"a\", \"b\"\n\"c, d\", \"e\"\n\"f\", \"g\"\n\"h\", \"i\"\n".to_owned(), ','),
            // Values that are missing, a smile among the values, a separator at every end.
            ("a,,c\n,b,\n:(,b,c\na,b,c\na,b,c\n".to_owned(), ','),
            ("a;b;c;\nd;e;f;\ng;h;i;\nj;k;l;\n".to_owned(), ';'),
            (format!("{sentences}{}", "It is,1\n".repeat(200_000)), ','),
            (format!("{}no, it, is not", "It is,1\n".repeat(200)), ','),
        ] {
            assert_eq!(layout(&text).map(|layout| layout.separator), Some(wanted), "{text:.200}");
        }
    }

    #[test]
    fn what_has_commas_is_no_table_yet() {
        let each = |line: &str| format!("{line}\n").repeat(40);
        for text in [
            CAESAR.to_owned(),
            each("Rose is a rose is a rose, and a rose."),
            each("Rose, rose, rose."),
            each("O Romeo, Romeo,"),
            each("ROMEO: But soft, what light"),
            each("\"Yes, it is,\" he said, and left."),
            each("2024-05-01 12:00:00,123 INFO step 3, loss 2"),
            each("It weighs 1,024 tons."),
            each("value = max(one,two);"),
            each("\t\treturn one;"),
            each("\tone\ttwo"),
            each("\txorl\t%ebx,%r15d"),
            each("{ REG_OKAY,\t\"no errors\" },"),
            "against me,\nAnd I nothing to back my suit at all,\nBut the plain devil,\nAnd yet to win her, all\n"
                .to_owned(),
            each("int i = 0; int j = 1;"),
            each("{\"a\":1,\"b\":2}"),
            "a,b\nc,d\ne,f\n".to_owned(),
            "a,b\nc,d\ne,f\n\ng\n".to_owned(),
            "a,b\n".repeat(3) + "a,b,c",
            String::new(),
            "\n\n\n\n\n".to_owned(),
            ",\n,\n,\n,\n".to_owned(),
            "a, b".repeat(1 << 20),
        ] {
            assert_eq!(layout(&text), None, "{text:.200}");
        }
    }

    #[test]
    fn quotes_are_told_from_quoted_values() {
        let quotes = |line: &str| layout(&format!("{line}\n").repeat(5)).map(|layout| layout.quotes);
        assert_eq!(quotes("a,b"), Some(true));
        assert_eq!(quotes("a\tb"), Some(false));
        assert_eq!(quotes("\"No\" he said\t1"), Some(false));
        assert_eq!(quotes("\"No, he said\"\t1"), Some(true));
        assert_eq!(layout("so\t1\n\"so\t1\nso\t0\nso\t1\nso\t0\n").map(|layout| layout.quotes), Some(false));
    }
}
