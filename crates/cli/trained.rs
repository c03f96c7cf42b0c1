//! The outcome of training a grid, told and written.

use anyhow::{Error, Result};
use loralab_core::device::{Machine, webgpu::Tiling};
use loralab_experiment::{Curve, Resolved, RunResult, Summary};
use loralab_figure::{Figure, FigureError, loss_by_learning_rate, training_curves};

use crate::{
    args::{DeviceArguments, Tiles},
    failure::Stopped,
    results::{LOSS_BY_LEARNING_RATE, Results, SUMMARY, TRAINING_CURVES, best_events},
    terminal::note,
    tiles::{self, TILES},
};

/// The outcome of training a grid, and where it is written.
pub struct Trained {
    /// The experiment, with the rates that were tried.
    pub experiment: Resolved,
    /// What was found.
    pub summary: Summary,
    /// Every run.
    pub runs: Vec<RunResult>,
    /// The curves of each scheme's best rate.
    pub curves: Vec<Curve>,
    /// The folder.
    pub results: Results,
    /// How many runs were to be trained.
    pub planned: usize,
    /// How the rates were searched for, if they were.
    pub searched: Option<String>,
    /// Who asked it to stop, if somebody did.
    pub stopped_by: &'static str,
    /// What ended it early, or could not be written.
    pub failure: Option<Error>,
    /// Whether the summary is written.
    pub summed_up: bool,
}

impl Trained {
    /// Says so where it was stopped early.
    ///
    /// # Errors
    /// If it was, or something failed.
    pub fn complete(&mut self, quiet: bool) -> Result<()> {
        let (ended, planned, folder) = (ended(&self.runs), self.planned, self.results.folder().display());
        if let Some(error) = self.failure.take() {
            let rest = match (self.results.keeps_earlier(), self.summed_up) {
                (true, _) => format!("but the folder `{folder}` keeps its earlier results"),
                (_, true) => format!("and the results in `{folder}` are theirs"),
                _ => format!("but their summary could not be written to `{folder}`"),
            };
            return Err(error.context(format!("{ended} of {planned} runs had ended, {rest}")));
        }
        if ended == planned {
            return Ok(());
        }
        if !quiet {
            let by = self.stopped_by;
            note(format_args!(
                "Stopped by {by}: {ended} of {planned} runs had ended, and the results in `{folder}` are theirs."
            ));
        }
        Err(Stopped.into())
    }

    /// Whether the results are in their folder.
    pub fn are_kept(&self) -> bool {
        self.summed_up && !self.results.keeps_earlier()
    }
}

/// How many runs have come to their end, diverged, or could not start.
pub fn ended(runs: &[RunResult]) -> usize {
    runs.iter().filter(|run| run.is_over()).count()
}

/// Writes the summary, after which the log is on the disk too.
///
/// # Errors
/// If that fails.
pub fn write_summary(results: &Results, summary: &Summary) -> Result<()> {
    let synced = results.sync();
    results.write(SUMMARY, format!("{}\n", serde_json::to_string_pretty(summary)?).as_bytes())?;
    synced
}

/// Writes the figures, and returns the curves of each scheme's best rate.
///
/// # Errors
/// If that fails.
pub fn write_figures(results: &Results, summary: &Summary) -> Result<Vec<Curve>> {
    figure(results, LOSS_BY_LEARNING_RATE, loss_by_learning_rate(summary))?;
    let curves = Curve::gather(&best_events(results.place(), summary)?);
    figure(results, TRAINING_CURVES, training_curves(summary, &curves))?;
    Ok(curves)
}

/// Keeps the tiles that a GPU was timed for.
///
/// # Errors
/// If that fails.
pub fn write_tiles(results: &Results, machine: &Machine, device: &DeviceArguments) -> Result<()> {
    let Machine::Gpu(gpu) = machine else { return Ok(()) };
    if !matches!(gpu.options().tiling, Tiling::Timed(_)) {
        return Ok(());
    }
    if device.tiles == Some(Tiles::Timed) {
        tiles::keep(gpu);
    }
    results.write(TILES, tiles::text(gpu).as_bytes())
}

/// Writes a figure, unless no run has come far enough for one.
fn figure(results: &Results, name: &str, figure: Result<Figure, FigureError>) -> Result<()> {
    match figure {
        Ok(figure) => results.write(name, figure.svg.as_bytes()),
        Err(FigureError::Nothing(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
