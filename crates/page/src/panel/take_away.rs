//! What can be taken from the page.

use loralab_experiment::Cell;

use crate::html::escaped;

/// Something to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The link to the experiment.
    Link,
    /// The command of the native binary.
    Command,
    /// `experiment.toml`
    Toml,
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

const ALL: [(Taken, &str, &str); 11] = [
    (Taken::Link, "link", "Copy link"),
    (Taken::Command, "command", "Copy as command"),
    (Taken::Toml, "toml", "experiment.toml"),
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
        ALL.iter().find(|(_, known, _)| *known == name).map(|(taken, ..)| *taken)
    }

    /// Whether it is there before anything was trained.
    fn is_of_the_experiment(self) -> bool {
        matches!(self, Self::Link | Self::Command | Self::Toml)
    }
}

/// The buttons; those of results only once there are some, and the adapter's once its run has ended.
pub fn take_away(results: bool, adapter: Option<&Cell>) -> String {
    let button = |(taken, name, title): &(Taken, &str, &str)| {
        let there = taken.is_of_the_experiment() || results && (*taken != Taken::Adapter || adapter.is_some());
        let disabled = if there { "" } else { " disabled" };
        let of = adapter.filter(|_| *taken == Taken::Adapter).map_or_else(String::new, |cell| {
            format!(" title=\"{}: adapter_config.json and adapter_model.safetensors in a zip\"", escaped(&cell.id()))
        });
        format!("<button type=\"button\" data-do=\"take\" data-name=\"{name}\"{of}{disabled}>{title}</button>")
    };
    ALL.iter().map(button).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_there_can_be_taken() {
        let disabled = |html: String| html.matches(" disabled").count();
        let cell = Cell { scheme: "init-a".to_owned(), learning_rate: 2e-3, seed: 1 };
        assert_eq!(disabled(take_away(false, None)), 8);
        assert_eq!(disabled(take_away(true, None)), 1);
        assert_eq!(disabled(take_away(true, Some(&cell))), 0);
        assert!(ALL.iter().all(|(taken, name, _)| Taken::named(name) == Some(*taken)));
        assert_eq!(Taken::named("moon"), None);
    }
}
