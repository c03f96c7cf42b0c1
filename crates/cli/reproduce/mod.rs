//! `loralab reproduce`: the paper's claims, measured again.

mod crossing;
mod curvature;
mod exponents;
mod toy;
mod transformer;

use std::{fmt, ops::ControlFlow};

use anyhow::{Error, Result};
use loralab_experiment::Reproduction;

use crate::{
    args::{Reproduce, ReproduceOutput},
    failure::Stopped,
    interrupt::Interrupt,
    progress::Steps,
    report,
    results::{REPORT, Results, SUMMARY},
    terminal::{is_closed, note, print},
};

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

/// A reproduction under way: its progress, and what asks it to end.
struct Watch {
    steps: Steps,
    interrupt: Interrupt,
}

impl Watch {
    fn new(output: &ReproduceOutput, interrupt: &Interrupt, name: &str, total: usize) -> Self {
        let steps = Steps::new(name.to_owned(), total, output.quiet || output.json);
        Self { steps, interrupt: interrupt.clone() }
    }

    /// So many are done; whether to go on.
    fn done(&mut self, done: usize) -> ControlFlow<()> {
        self.steps.advance(done, String::new);
        if self.interrupt.is_pressed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// The work is over.
    fn end(self) {
        self.steps.end();
    }
}

impl ReproduceOutput {
    /// The results folder, before anything is measured: what cannot be written is not noticed after it only.
    fn claim(&self) -> Result<Results> {
        Results::claim(&self.output, self.overwrite)
    }

    /// Says what is left of a work that was asked to end, which ends with this error.
    fn stopped(&self, interrupt: &Interrupt, left: impl fmt::Display) -> Error {
        if !self.quiet {
            note(format_args!("Stopped by {}: {left}.", interrupt.by()));
        }
        Stopped.into()
    }

    /// The same where a part is whole and written.
    fn stopped_with_part(&self, interrupt: &Interrupt) -> Error {
        let folder = self.output.display();
        self.stopped(interrupt, format_args!("the results in `{folder}` are what was measured to its end"))
    }

    /// The same where nothing was measured to its end.
    fn stopped_early(&self, interrupt: &Interrupt, results: &Results) -> Error {
        let folder = self.output.display();
        match results.keeps_earlier() {
            true => self.stopped(interrupt, format_args!("nothing is whole, and `{folder}` keeps its earlier results")),
            false => self.stopped(interrupt, "nothing is whole, so nothing is written"),
        }
    }
}

/// Writes the summary and the report, and says what was found, also where it cannot be written.
fn finish(output: &ReproduceOutput, mut results: Results, found: &Reproduction) -> Result<()> {
    let summary = format!("{}\n", serde_json::to_string_pretty(found)?);
    let mut write = || {
        results.write(SUMMARY, summary.as_bytes())?;
        report::write(results.place())?;
        results.replace_earlier()
    };
    let written = write();
    let told = if output.json { print(summary.trim_end()) } else { print(found.sentence()) };
    written?;
    let told = told.and_then(|()| match output.json {
        true => Ok(()),
        false => print(format_args!("\nThe report is `{}`.", results.folder().join(REPORT).display())),
    });
    // What ended it early, if something did, is still to be said when nobody reads this.
    told.or_else(|error| if is_closed(&error) { Ok(()) } else { Err(error.into()) })
}
