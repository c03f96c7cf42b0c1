//! Reports: the results of an experiment as one self-contained page, and its figures and tables as SVG and CSV.
//!
//! A report is made from the contents of the results folder alone, so the same results give the same report, byte for byte.

mod crossing;
mod curvature;
mod exponents;
mod html;
mod search;
mod sweep;
mod toy;
mod transformer;
mod tuning;

pub use crossing::of_crossing;
pub use curvature::of_curvature;
pub use exponents::of_exponents;
pub use search::of_search;
pub use sweep::of_sweep;
pub use toy::of_toy;
pub use transformer::of_transformer;
pub use tuning::of_tuning;

use loralab_experiment::fixed_text;
use loralab_figure::FigureError;
use sha2::{Digest, Sha256};

/// Every file name of a figure or table of a report; an earlier report may have left such files.
pub const FILES: [&str; 31] = [
    "comparisons.csv",
    "crossing.svg",
    "crossings.csv",
    "curvature.csv",
    "exponents_adam.csv",
    "exponents_adam.svg",
    "exponents_sign.csv",
    "exponents_sign.svg",
    "implied_rates.svg",
    "lora_features.svg",
    "loss_by_learning_rate.svg",
    "losses_mean-field.svg",
    "losses_standard.svg",
    "norms_mean-field.svg",
    "norms_standard.svg",
    "optima.csv",
    "optimal_rates.svg",
    "rates.csv",
    "rates_mean-field.csv",
    "rates_standard.csv",
    "ratios.csv",
    "schemes.csv",
    "search.csv",
    "slopes.csv",
    "stable_rates.csv",
    "stable_rates.svg",
    "sweeps.svg",
    "sweeps_mean-field.svg",
    "sweeps_standard.svg",
    "training_curves.svg",
    "transformer.svg",
];

/// The report on an experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The title: the experiment.
    pub title: String,
    /// The result as plain text.
    pub found: String,
    /// Settings, seeds, device and versions, as name and value.
    pub facts: Vec<(String, String)>,
    /// The sections, in order.
    pub sections: Vec<Section>,
}

/// A section of a report.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Section {
    /// Its heading.
    pub heading: String,
    /// Its paragraphs.
    pub text: Vec<String>,
    /// Its figures.
    pub figures: Vec<Figure>,
    /// Its tables.
    pub tables: Vec<Table>,
}

/// A figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// The name of its file, without `.svg`.
    pub name: String,
    /// The drawing.
    pub svg: String,
    /// The caption.
    pub caption: String,
}

/// A table.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The name of its file, without `.csv`.
    pub name: String,
    /// The caption.
    pub caption: String,
    /// The names of its columns.
    pub head: Vec<String>,
    /// Its rows, each as long as `head`.
    pub rows: Vec<Vec<Cell>>,
}

/// An entry of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Text.
    Text(String),
    /// A number in full precision, and as it is shown.
    Number(f64, String),
    /// No value.
    Unknown,
}

impl Cell {
    /// A number with its formatting; unknown if there is none.
    pub(crate) fn number(value: Option<f64>, shown: impl Fn(f64) -> String) -> Self {
        value.filter(|value| value.is_finite()).map_or(Self::Unknown, |value| Self::Number(value, shown(value)))
    }

    /// An integer.
    pub(crate) fn whole(value: usize) -> Self {
        Self::Number(value as f64, value.to_string())
    }

    /// Text.
    pub(crate) fn text(words: impl Into<String>) -> Self {
        Self::Text(words.into())
    }

    /// Both ends of an interval, each in a column of its own.
    pub(crate) fn ends(interval: Option<[f64; 2]>, shown: impl Fn(f64) -> String) -> [Self; 2] {
        [0, 1].map(|end| Self::number(interval.map(|ends| ends[end]), &shown))
    }

    /// The ends of an interval of a positive number; an end that is 0 or infinite is shown as not bounded.
    pub(crate) fn bounds(interval: Option<[f64; 2]>, shown: impl Fn(f64) -> String) -> [Self; 2] {
        let cell = |end: f64| match end > 0.0 && end.is_finite() {
            true => Self::number(Some(end), &shown),
            false => Self::text("not bounded"),
        };
        interval.map_or([Self::Unknown, Self::Unknown], |ends| ends.map(cell))
    }
}

impl Report {
    /// The figures and tables as files: name and contents.
    pub fn files(&self) -> Vec<(String, String)> {
        let figures = self.sections.iter().flat_map(|section| &section.figures);
        let tables = self.sections.iter().flat_map(|section| &section.tables);
        let svg = figures.map(|figure| (format!("{}.svg", figure.name), figure.svg.clone()));
        let files: Vec<(String, String)> =
            svg.chain(tables.map(|table| (format!("{}.csv", table.name), table.csv()))).collect();
        let unknown = files.iter().find(|(name, _)| !FILES.contains(&&**name));
        debug_assert!(unknown.is_none(), "`FILES` lacks {:?}", unknown.map(|(name, _)| name));
        files
    }

    /// The page. `inputs` are the other files of the results, name and contents; the page lists their hashes and those of its own files.
    pub fn html(&self, inputs: &[(String, String)]) -> String {
        let hashed = |(name, contents): &(String, String)| (name.clone(), hash(contents));
        html::page(self, &inputs.iter().chain(&self.files()).map(hashed).collect::<Vec<_>>())
    }
}

impl Table {
    /// The table as RFC 4180 CSV: numbers in full, and empty fields for unknown values.
    pub fn csv(&self) -> String {
        let quoted = |text: &str| {
            let plain = !text.contains([',', '"', '\n', '\r']);
            if plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
        };
        let cell = |cell: &Cell| match cell {
            Cell::Text(words) => quoted(words),
            Cell::Number(value, _) if value.abs() >= 1e15 || (*value != 0.0 && value.abs() < 1e-4) => {
                format!("{value:e}")
            }
            Cell::Number(value, _) => value.to_string(),
            Cell::Unknown => String::new(),
        };
        let head = self.head.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(",");
        let rows = self.rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join(","));
        std::iter::once(head).chain(rows).map(|line| line + "\r\n").collect()
    }
}

/// A drawing; none if there is nothing to draw.
pub(crate) fn drawn(svg: Result<String, FigureError>) -> Result<Option<String>, FigureError> {
    match svg {
        Ok(svg) => Ok(Some(svg)),
        Err(FigureError::Nothing(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// SHA-256, in hexadecimal.
fn hash(contents: &str) -> String {
    Sha256::digest(contents).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A summary as text without its times, the only numbers that differ when the same experiment is run again.
pub fn without_times(summary: &serde_json::Value) -> String {
    let mut summary = summary.clone();
    if let Some(fields) = summary.as_object_mut() {
        fields.remove("wall_seconds");
        fields.remove("seconds");
    }
    summary.to_string()
}

/// An exponent as text.
pub(crate) fn exponent(value: f64) -> String {
    // Avoids "-0.000".
    fixed_text(value + 0.0, 3).replace("-0.000", "0.000")
}

/// A time as text.
pub(crate) fn seconds(value: f64) -> String {
    format!("{} s", fixed_text(value, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_csv_with_all_digits() {
        let table = Table {
            name: "t".to_owned(),
            caption: String::new(),
            head: vec!["a, b".to_owned(), "n".to_owned()],
            rows: vec![
                vec![Cell::text("say \"x\""), Cell::number(Some(1.0 / 3.0), |x| format!("{x:.1}"))],
                vec![Cell::Unknown, Cell::number(Some(f64::NAN), |x| x.to_string())],
                vec![Cell::whole(3), Cell::number(Some(1.5e-7), |x| x.to_string())],
            ],
        };
        assert_eq!(table.csv(), "\"a, b\",n\r\n\"say \"\"x\"\"\",0.3333333333333333\r\n,\r\n3,1.5e-7\r\n");
    }

    /// FIPS 180-4's example.
    #[test]
    fn hashes_are_what_sha256sum_says() {
        assert_eq!(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn times_are_left_out() {
        let summary = serde_json::json!({ "wall_seconds": 1.5, "seeds": 2 });
        assert_eq!(without_times(&summary), "{\"seeds\":2}");
    }
}
