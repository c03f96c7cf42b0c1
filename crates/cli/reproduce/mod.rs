//! `loralab reproduce`: the paper's claims, measured again.

mod crossing;
mod curvature;
mod exponents;
mod toy;
mod transformer;

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use loralab_experiment::Reproduction;

use crate::{
    failure::Stopped,
    interrupt::Interrupt,
    progress::Steps,
    report,
    results::{REPORT, Results, SUMMARY, unwritable, write_whole},
    terminal::print,
};

/// What to reproduce.
#[derive(Debug, Subcommand)]
pub enum Reproduce {
    /// The single-layer theory: exponents of width for both starts and rates, and what the largest stable rate owes to width and rank
    Exponents(exponents::ExponentsArguments),
    /// The teacher and its students: the best learning rate of each start against width, and the norms of the LoRA features
    Toy(toy::ToyArguments),
    /// The starts init-a and init-b on the shipped base over a fine grid: where their curves cross, each one's best rate, and where it breaks
    Crossing(crossing::CrossingArguments),
    /// The best learning rate of each start on decoders of several widths, pretrained here, and on the shipped base
    Transformer(transformer::TransformerArguments),
    /// The largest eigenvalue of the Hessian at each start, the learning rate it implies, and a sweep to set it against
    Curvature(curvature::CurvatureArguments),
}

/// Where results go and what is shown.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// The results folder; it must be new or empty [default: results]
    #[arg(long, value_name = "FOLDER", default_value = "results", hide_default_value = true)]
    output: PathBuf,
    /// Replace the results that the folder holds; other files in it are kept
    #[arg(long)]
    overwrite: bool,
    /// Show no progress, only the result
    #[arg(long)]
    quiet: bool,
    /// Write the summary to stdout as JSON, and nothing else
    #[arg(long)]
    json: bool,
}

/// Measures what was asked for.
pub fn reproduce(what: &Reproduce) -> Result<()> {
    match what {
        Reproduce::Exponents(arguments) => exponents::reproduce(arguments),
        Reproduce::Toy(arguments) => toy::reproduce(arguments),
        Reproduce::Crossing(arguments) => crossing::reproduce(arguments),
        Reproduce::Transformer(arguments) => transformer::reproduce(arguments),
        Reproduce::Curvature(arguments) => curvature::reproduce(arguments),
    }
}

/// A reproduction under way: its progress, and Ctrl-C.
struct Watch {
    steps: Steps,
    interrupt: Interrupt,
}

impl Watch {
    fn new(output: &Output, interrupt: &Interrupt, name: &str, total: usize) -> Self {
        let steps = Steps::new(name.to_owned(), total, output.quiet || output.json);
        Self { steps, interrupt: interrupt.clone() }
    }

    /// So many are done; whether to go on.
    fn done(&mut self, done: usize) -> ControlFlow<()> {
        self.steps.advance(done, String::new);
        if self.interrupt.is_pressed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// What the work gave, unless it was stopped.
    fn end<T>(self, outcome: Option<T>) -> Result<T> {
        self.steps.end();
        outcome.ok_or_else(|| Stopped.into())
    }
}

/// Refuses a folder that cannot take results, before anything is measured.
fn check(output: &Output) -> Result<()> {
    Results::check(&output.output, output.overwrite)
}

/// Writes the summary and the report, and says what was found.
fn finish(output: &Output, found: &Reproduction) -> Result<()> {
    let folder: &Path = &output.output;
    fs::create_dir_all(folder).with_context(|| unwritable(folder))?;
    let summary = format!("{}\n", serde_json::to_string_pretty(found)?);
    write_whole(&folder.join(SUMMARY), summary.as_bytes())?;
    report::write(folder)?;
    if output.json {
        print(summary.trim_end())?;
    } else {
        print(format_args!("{}\n\nThe report is `{}`.", found.sentence(), folder.join(REPORT).display()))?;
    }
    Ok(())
}
