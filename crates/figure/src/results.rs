//! The files of a sweep's results, by name and contents: the one list that the command writes to a folder and the page packs.
//!
//! A name is the path from the results folder, with `/` between folders. `metrics.jsonl` grows while a sweep trains, so its writer has its contents.

use loralab_experiment::{Cell, Curve, Experiment, Summary};

use crate::{Figure, FigureError, loss_by_learning_rate_when, training_curves};

/// The log of events, one JSON object per line.
pub const METRICS: &str = "metrics.jsonl";
/// The experiment with every setting written out.
pub const EXPERIMENT: &str = "experiment.toml";
/// The summary of the sweep.
pub const SUMMARY: &str = "summary.json";
/// The headline figure.
pub const LOSS_BY_LEARNING_RATE: &str = "loss_by_learning_rate.svg";
/// Loss over steps.
pub const TRAINING_CURVES: &str = "training_curves.svg";
/// A folder for each run that did not diverge, in PEFT's layout.
pub const ADAPTERS: &str = "adapters";
/// The folder in a run's folder of the adapter with the lowest validation loss, if it is kept.
pub const BEST: &str = "best";
/// The configuration of an adapter, in its folder.
pub const ADAPTER_CONFIG: &str = "adapter_config.json";
/// The tensors of an adapter, in its folder.
pub const ADAPTER_TENSORS: &str = "adapter_model.safetensors";

/// A file: its name and its contents.
pub type File = (String, Vec<u8>);

/// The settings of a sweep, as TOML.
pub fn settings(experiment: &Experiment) -> File {
    (EXPERIMENT.to_owned(), experiment.to_toml().into_bytes())
}

/// The summary of a sweep, as JSON.
pub fn summary(summary: &Summary) -> File {
    let json = serde_json::to_string_pretty(summary).expect("a summary has string keys only");
    (SUMMARY.to_owned(), format!("{json}\n").into_bytes())
}

/// The figures of a sweep, without those that have nothing to show. `when` names the steps that the summary refers to, as in [`loss_by_learning_rate_when`];
/// `curves` has at least the runs at each scheme's best rate.
///
/// # Errors
/// [`FigureError::Drawing`] if the drawing library fails.
pub fn figures(summary: &Summary, when: &str, curves: &[Curve]) -> Result<Vec<File>, FigureError> {
    let drawn = [
        (LOSS_BY_LEARNING_RATE, loss_by_learning_rate_when(summary, when)),
        (TRAINING_CURVES, training_curves(summary, curves)),
    ];
    let file = |(name, figure): (&str, Result<Figure, FigureError>)| match figure {
        Ok(figure) => Some(Ok((name.to_owned(), figure.svg.into_bytes()))),
        Err(FigureError::Nothing(_)) => None,
        Err(error) => Some(Err(error)),
    };
    drawn.into_iter().filter_map(file).collect()
}

/// The name of the adapter with a run's lowest validation loss: a folder in the run's own.
pub fn best(run: &Cell) -> String {
    format!("{}/{BEST}", run.id())
}

/// The folder of a run's adapter.
pub fn adapter_folder(run: &Cell) -> String {
    format!("{ADAPTERS}/{}", run.id())
}

/// The files of an adapter in `folder`, from its configuration as JSON and its tensors as safetensors.
pub fn adapter(folder: &str, config: &str, tensors: &[u8]) -> [File; 2] {
    [(ADAPTER_CONFIG, config.as_bytes()), (ADAPTER_TENSORS, tensors)]
        .map(|(name, contents)| (format!("{folder}/{name}"), contents.to_vec()))
}
