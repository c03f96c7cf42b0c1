//! The downloads and copies that the page offers.

use loralab_experiment::Cell;

use crate::html::escaped;

/// A download or a copy. The first three are of the experiment in the form; the others are of the sweep that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The link to the experiment in the form.
    Link,
    /// The command of the native binary for it.
    Command,
    /// Its `experiment.toml`.
    Toml,
    /// The link to the experiment of the sweep that is shown.
    ItsLink,
    /// The command of the native binary for it.
    ItsCommand,
    /// Its `experiment.toml`.
    ItsToml,
    /// `metrics.jsonl`
    Jsonl,
    /// `metrics.csv`
    Csv,
    /// The headline figure as SVG, or as pixels.
    Svg,
    /// The same as pixels.
    Png,
    /// The training curves as SVG.
    CurvesSvg,
    /// The same as pixels.
    CurvesPng,
    /// The chosen run's adapter.
    Adapter,
    /// The whole results folder.
    Folder,
}

/// Those of the form, whose buttons stand in `index.html`.
const FORM: [(Taken, &str); 3] = [(Taken::Link, "link"), (Taken::Command, "command"), (Taken::Toml, "toml")];

/// Those of the sweep that is shown.
const SWEEP: [(Taken, &str, &str); 11] = [
    (Taken::ItsLink, "its-link", "Copy its link"),
    (Taken::ItsCommand, "its-command", "Copy its command"),
    (Taken::ItsToml, "its-toml", "Its experiment.toml"),
    (Taken::Jsonl, "jsonl", "metrics.jsonl"),
    (Taken::Csv, "csv", "metrics.csv"),
    (Taken::Svg, "svg", "Chart as SVG"),
    (Taken::Png, "png", "Chart as PNG"),
    (Taken::CurvesSvg, "curves-svg", "Curves as SVG"),
    (Taken::CurvesPng, "curves-png", "Curves as PNG"),
    (Taken::Adapter, "adapter", "Adapter for PEFT"),
    (Taken::Folder, "folder", "Everything"),
];

impl Taken {
    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        let sweep = SWEEP.map(|(taken, known, _)| (taken, known));
        FORM.iter().chain(&sweep).find(|(_, known)| *known == name).map(|(taken, _)| *taken)
    }

    /// True for the sweep's settings, false for its results.
    fn is_settings(self) -> bool {
        matches!(self, Self::ItsLink | Self::ItsCommand | Self::ItsToml)
    }
}

/// The buttons of the sweep that is shown, if there is one; `known` says whether its settings are, and `adapter` whose adapter can be taken, or why
/// there is none.
pub fn take_away(results: bool, known: bool, adapter: Result<&Cell, &str>) -> String {
    let of = |(taken, name, title): &(Taken, &str, &str)| match (*taken, adapter) {
        (Taken::Adapter, Ok(cell)) => {
            let files = format!("{}: adapter_config.json and adapter_model.safetensors in a zip", cell.id());
            button(name, title, Some(&files), results)
        }
        (Taken::Adapter, Err(reason)) => button(name, title, Some(reason), false),
        (taken, _) if taken.is_settings() && results && !known => {
            button(name, title, Some("The settings are in experiment.toml, which was not opened."), false)
        }
        _ => button(name, title, None, results),
    };
    SWEEP.iter().map(of).collect()
}

fn button(name: &str, title: &str, about: Option<&str>, enabled: bool) -> String {
    let about = about.map_or_else(String::new, |about| format!(" title=\"{}\"", escaped(about)));
    let disabled = if enabled { "" } else { " disabled" };
    format!("<button type=\"button\" data-do=\"take\" data-name=\"{name}\"{about}{disabled}>{title}</button>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_there_can_be_taken() {
        let disabled = |html: String| html.matches(" disabled").count();
        let cell = Cell { scheme: "init-a".to_owned(), learning_rate: 2e-3, seed: 1 };
        assert_eq!(disabled(take_away(false, true, Err("nothing yet"))), 11);
        let html = take_away(true, true, Err("It diverged."));
        assert!(html.contains("data-name=\"adapter\" title=\"It diverged.\" disabled"), "{html}");
        assert_eq!(disabled(html), 1);
        assert_eq!(disabled(take_away(true, true, Ok(&cell))), 0);
        assert_eq!(disabled(take_away(true, false, Ok(&cell))), 3);
        assert!(FORM.iter().all(|(taken, name)| Taken::named(name) == Some(*taken)));
        assert!(SWEEP.iter().all(|(taken, name, _)| Taken::named(name) == Some(*taken)));
        assert_eq!(Taken::named("moon"), None);
    }
}
