//! `loralab reproduce`: measures the paper's claims again.

mod crossing;
mod curvature;
mod exponents;
mod parts;
mod toy;
mod transformer;

use std::{fmt, ops::ControlFlow, path::Path};

use anyhow::{Error, Result};
use loralab_experiment::{Reproduction, Resolved};

use crate::{
    args::{Reproduce, ReproduceOutput},
    failure::Stopped,
    interrupt::Interrupt,
    progress::Steps,
    report,
    results::{REPORT, Results, SUMMARY},
    resume::{self, Begun},
    terminal::{is_closed, note, print},
};

/// Measures what was asked for.
pub fn reproduce(what: &Reproduce, begun: &Begun) -> Result<()> {
    match what {
        Reproduce::Exponents(arguments) => exponents::reproduce(arguments, begun),
        Reproduce::Toy(arguments) => toy::reproduce(arguments, begun),
        Reproduce::Crossing(arguments) => crossing::reproduce(arguments, begun),
        Reproduce::Transformer(arguments) => transformer::reproduce(arguments, begun),
        Reproduce::Curvature(arguments) => curvature::reproduce(arguments, begun),
    }
}

/// The progress of a reproduction, and requests to stop it.
struct Watch {
    steps: Steps,
    interrupt: Interrupt,
}

impl Watch {
    fn new(output: &ReproduceOutput, interrupt: &Interrupt, name: &str, total: usize) -> Self {
        let steps = Steps::new(name.to_owned(), total, output.quiet || output.json);
        Self { steps, interrupt: interrupt.clone() }
    }

    /// Shows that `done` steps are done; a break if a stop was requested.
    fn done(&mut self, done: usize) -> ControlFlow<()> {
        self.steps.advance(done, String::new);
        if self.interrupt.is_pressed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Ends the progress display.
    fn end(self) {
        self.steps.end();
    }
}

impl ReproduceOutput {
    /// The experiment, with the cells of the results in a folder if they are continued.
    fn widened(&self, experiment: Resolved, folder: &Path, searches: bool) -> Result<Resolved> {
        if self.resume.is_some() { resume::widened(&experiment, folder, searches) } else { Ok(experiment) }
    }

    /// Claims the results folder before the work, so that a folder that is not writable is an error at once.
    fn claim(&self, begun: &Begun) -> Result<Results> {
        Results::open(&self.output, self.overwrite, self.resume.is_some(), Some(begun))
    }

    /// Reports a requested stop, with `left` for the remaining results, and returns the error to end with.
    fn stopped(&self, interrupt: &Interrupt, left: impl fmt::Display) -> Error {
        if !self.quiet {
            note(format_args!("Stopped by {}: {left}.", interrupt.by()));
        }
        Stopped::by(interrupt.by(), false).into()
    }

    /// Like [`stopped`](Self::stopped), if a part of the results is complete and written.
    fn stopped_with_part(&self, interrupt: &Interrupt) -> Error {
        let folder = self.output.display();
        self.stopped(interrupt, format_args!("the results in `{folder}` are what was measured to its end"))
    }

    /// Like [`stopped`](Self::stopped), if no measurement is complete.
    fn stopped_early(&self, interrupt: &Interrupt, results: &Results) -> Error {
        let folder = self.output.display();
        match results.keeps_earlier() {
            true => self.stopped(interrupt, format_args!("nothing is whole, and `{folder}` keeps its earlier results")),
            false => self.stopped(interrupt, "nothing is whole, so nothing is written"),
        }
    }
}

/// Writes the summary and the report, and prints the findings even if the write fails.
fn finish(output: &ReproduceOutput, mut results: Results, found: &Reproduction) -> Result<()> {
    let summary = format!("{}\n", serde_json::to_string_pretty(found)?);
    let mut write = || {
        results.write(SUMMARY, summary.as_bytes())?;
        report::write(results.place())?;
        results.replace_earlier()
    };
    let written = write();
    let printed = if output.json { print(summary.trim_end()) } else { print(found.sentence()) };
    written?;
    let printed = printed.and_then(|()| match output.json {
        true => Ok(()),
        false => print(format_args!("\nThe report is `{}`.", results.folder().join(REPORT).display())),
    });
    // A closed stdout is no error here, since the caller may still have an early end to report.
    printed.or_else(|error| if is_closed(&error) { Ok(()) } else { Err(error.into()) })
}
