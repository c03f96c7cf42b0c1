//! The page.

use std::fmt::Write;

use crate::{Cell, Report, Section, Table};

const STYLE: &str = "\
:root{color-scheme:light}\
body{font:16px/1.55 Georgia,'Times New Roman',serif;color:#222;background:#fff;margin:2.5rem auto;padding:0 1.25rem;max-width:62rem}\
h1{font-size:1.7rem;line-height:1.25;margin:0 0 .5rem}h2{font-size:1.25rem;margin:2.5rem 0 .5rem;border-bottom:1px solid #ddd}\
.found{font-size:1.05rem;border-left:3px solid #0072b2;padding-left:1rem;margin:1rem 0 1.5rem}\
figure{margin:1.25rem 0;overflow-x:auto}figure svg{max-width:100%;height:auto}\
figcaption,caption{font-size:.9rem;color:#444;text-align:left;padding:.3rem 0}\
.wide{overflow-x:auto}table{border-collapse:collapse;font:14px/1.4 Helvetica,Arial,sans-serif;font-variant-numeric:tabular-nums;margin:.5rem 0 1rem}\
th,td{padding:.25rem .7rem;text-align:right;border-bottom:1px solid #e4e4e4}th{border-bottom:2px solid #999;vertical-align:bottom}\
th:first-child,td:first-child,td.words,th.words{text-align:left}dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1.25rem;font:14px/1.45 Helvetica,Arial,sans-serif}\
dt{color:#555}dd{margin:0}code{font:13px/1.4 ui-monospace,Menlo,Consolas,monospace;overflow-wrap:anywhere}\
@media print{body{margin:0;max-width:none}figure,table{break-inside:avoid}}";

/// The whole page; `hashes` are names of files and what they hash to.
pub fn page(report: &Report, hashes: &[(String, String)]) -> String {
    let mut page = String::new();
    let title = escaped(&report.title);
    let written = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<p class=\"found\">{}</p>\n",
        escaped(&report.found)
    );
    debug_assert!(written.is_ok(), "a text takes whatever is written to it");
    page.push_str("<dl>\n");
    for (name, value) in &report.facts {
        page.push_str(&format!("<dt>{}</dt><dd>{}</dd>\n", escaped(name), escaped(&shortened(value))));
    }
    page.push_str("</dl>\n");
    for part in &report.sections {
        section(&mut page, part);
    }
    page.push_str("<h2>Files</h2>\n<p>SHA-256 of what stands beside this page; of <code>summary.json</code>, without its wall time.</p>\n<div class=\"wide\"><table>\n");
    for (name, hash) in hashes {
        page.push_str(&format!(
            "<tr><td><code>{}</code></td><td class=\"words\"><code>{hash}</code></td></tr>\n",
            escaped(name)
        ));
    }
    page.push_str("</table></div>\n</body>\n</html>\n");
    page
}

fn section(page: &mut String, part: &Section) {
    page.push_str(&format!("<h2>{}</h2>\n", escaped(&part.heading)));
    for paragraph in &part.text {
        page.push_str(&format!("<p>{}</p>\n", escaped(paragraph)));
    }
    for figure in &part.figures {
        page.push_str(&format!(
            "<figure>\n{}<figcaption>{}</figcaption>\n</figure>\n",
            figure.svg,
            escaped(&figure.caption)
        ));
    }
    for of_section in &part.tables {
        table(page, of_section);
    }
}

fn table(page: &mut String, table: &Table) {
    // A column of words is set as words.
    let words: Vec<bool> =
        (0..table.head.len()).map(|column| table.rows.iter().all(|row| matches!(row[column], Cell::Text(_)))).collect();
    let class = |column: usize| if words[column] { " class=\"words\"" } else { "" };
    page.push_str(&format!("<div class=\"wide\"><table>\n<caption>{}</caption>\n<tr>", escaped(&table.caption)));
    for (column, name) in table.head.iter().enumerate() {
        page.push_str(&format!("<th{}>{}</th>", class(column), escaped(name)));
    }
    page.push_str("</tr>\n");
    for row in &table.rows {
        page.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            let shown = match cell {
                Cell::Text(words) => escaped(words),
                Cell::Number(_, shown) => escaped(shown).replace('-', "\u{2212}").replace("e\u{2212}", "e-"),
                Cell::Unknown => "–".to_owned(),
            };
            page.push_str(&format!("<td{}>{shown}</td>", class(column)));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table></div>\n");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A text, its numbers by their power of ten where they have more digits than can be read.
fn shortened(value: &str) -> String {
    let delimiters = [',', ' ', '[', ']'];
    let shorten = |piece: &str| {
        let number = piece.trim_end_matches(delimiters);
        match number.parse::<f64>() {
            Ok(value) if number.len() > 25 => format!("{value:e}{}", &piece[number.len()..]),
            _ => piece.to_owned(),
        }
    };
    value.split_inclusive(delimiters).map(shorten).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_escapes_what_it_is_given_and_needs_nothing_else() {
        let report = Report {
            title: "a < b".to_owned(),
            found: "x & y".to_owned(),
            facts: vec![("device".to_owned(), "<CPU>".to_owned())],
            sections: vec![Section {
                heading: "h".to_owned(),
                tables: vec![Table {
                    name: "rates".to_owned(),
                    caption: "c".to_owned(),
                    head: vec!["name".to_owned(), "n".to_owned()],
                    rows: vec![vec![Cell::text("<i>"), Cell::number(Some(-1e-3), |x| format!("{x:e}"))]],
                }],
                ..Section::default()
            }],
        };
        let page = report.html(&[("in.toml".to_owned(), "abc".to_owned())]);
        for part in
            ["<h1>a &lt; b</h1>", "x &amp; y", "&lt;CPU&gt;", "&lt;i&gt;", "\u{2212}1e-3", "rates.csv", "ba7816bf"]
        {
            assert!(page.contains(part), "{part}: {page}");
        }
        for outside in ["http", "<script", "src=", "<link"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert_eq!(page, report.html(&[("in.toml".to_owned(), "abc".to_owned())]));
    }
}
