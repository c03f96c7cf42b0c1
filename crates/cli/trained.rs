//! The outcome of training a grid, and its files.

use anyhow::{Error, Result};
use loralab_core::device::{Machine, webgpu::Tiling};
use loralab_experiment::{Curve, Resolved, RunResult, Summary};
use loralab_figure::{AT_THE_END, results as files};

use crate::{
    args::{DeviceArguments, Tiles},
    failure::Stopped,
    log::best_events,
    results::Results,
    terminal::note,
    tiles::{self, TILES},
};

/// The outcome of training a grid.
pub struct Trained {
    /// The experiment, with the rates that were tried.
    pub experiment: Resolved,
    /// The summary of the runs.
    pub summary: Summary,
    /// The result of every run.
    pub runs: Vec<RunResult>,
    /// The curves of each scheme's best rate.
    pub curves: Vec<Curve>,
    /// The results folder.
    pub results: Results,
    /// Number of planned runs.
    pub planned: usize,
    /// A sentence on the search for rates, if there was one.
    pub searched: Option<String>,
    /// The source of the request to stop; meaningful only if there was one.
    pub stopped_by: &'static str,
    /// The error that ended it early or prevented a write.
    pub failure: Option<Error>,
    /// True if the summary is written.
    pub summed_up: bool,
}

impl Trained {
    /// Reports an early stop.
    ///
    /// # Errors
    /// If the training was stopped early, or something failed.
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
            let further = self.results.continuing().map(|command| format!(" `{command}` goes on."));
            note(format_args!(
                "Stopped by {by}: {ended} of {planned} runs had ended, and the results in `{folder}` are theirs.{}",
                further.unwrap_or_default()
            ));
        }
        Err(Stopped::by(self.stopped_by, self.results.continuing().is_some()).into())
    }

    /// True if the results are complete in their folder.
    pub fn are_kept(&self) -> bool {
        self.summed_up && !self.results.keeps_earlier()
    }
}

/// Number of runs that completed, diverged, or could not start.
pub fn ended(runs: &[RunResult]) -> usize {
    runs.iter().filter(|run| run.is_over()).count()
}

/// Syncs the log, and writes the summary with the names of the adapters that could not be written.
///
/// # Errors
/// If that fails.
pub fn write_summary(results: &mut Results, summary: &mut Summary) -> Result<()> {
    let synced = results.sync();
    results.insist(|results| {
        summary.unwritten = results.unwritten().to_vec();
        let (name, contents) = files::summary(summary);
        results.write(&name, &contents)
    })?;
    synced
}

/// Writes the figures, and returns the curves of each scheme's best rate.
///
/// # Errors
/// If that fails.
pub fn write_figures(results: &Results, summary: &Summary) -> Result<Vec<Curve>> {
    // A log that cannot be read leaves the other figure.
    let mut curves = best_events(results.place(), summary).map(|events| Curve::gather(&events));
    if let Ok(curves) = &mut curves {
        // In the order of the grid, whatever the order of training.
        let place = |scheme: &str| summary.schemes.iter().position(|row| row.scheme == scheme);
        let key = |curve: &Curve| (curve.cell.seed, curve.cell.learning_rate.to_bits(), place(&curve.cell.scheme));
        curves.sort_by_key(key);
    }
    for (name, contents) in files::figures(summary, AT_THE_END, curves.as_deref().unwrap_or_default())? {
        results.write(&name, &contents)?;
    }
    curves
}

/// Writes the timed tiles of a GPU to the results, and to the cache if `--tiles timed` was given.
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
