//! `loralab report`: makes a page of a results folder, and files of its figures and tables.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use loralab_experiment::{
    Choice, Curve, Event, Experiment, Reproduction, Resolved, SchemeSummary, Summary, Tuned, learning_rate_text,
};
use loralab_report::{
    Report, of_crossing, of_curvature, of_exponents, of_search, of_sweep, of_toy, of_transformer, without_times,
};
use serde_json::Value;

use crate::{
    args::ReportArguments,
    durable::write_whole,
    log::{best_events, check_file},
    memory,
    results::{EXPERIMENT, METRICS, REPORT, SEARCH, SUMMARY, TUNED, lock_folder},
    source,
    terminal::{note, print},
};

/// Writes the report into the folder.
pub fn report(arguments: &ReportArguments) -> Result<()> {
    // A sweep in training would change files between two reads.
    let _lock = arguments.results.is_dir().then(|| lock_folder(&arguments.results)).transpose()?;
    write(&arguments.results)?;
    print(format_args!("The report is `{}`.", arguments.results.join(REPORT).display()))?;
    Ok(())
}

/// Writes the page, its figures and its tables into the results folder.
pub fn write(folder: &Path) -> Result<()> {
    let path = folder.join(SUMMARY);
    if !path.exists() && folder.join(METRICS).exists() {
        bail!(
            "`{}` has no {SUMMARY}, so its sweep was cut off; what it has logged is in its {METRICS}, which the page opens, \
             and `loralab sweep --config {}` trains it again",
            folder.display(),
            folder.join(EXPERIMENT).display()
        );
    }
    let text = |name: &str| -> Result<String> {
        let path = folder.join(name);
        check_file(&path)?;
        // Memory holds the file once as text, and several times as parsed values.
        memory::check_file(&path, "file of the results", 8)?;
        let bytes = source::read(&path, "file of the results")?;
        String::from_utf8(bytes)
            .map_err(|_| anyhow!("`{}` is not a UTF-8 text, so it is no results file", path.display()))
    };
    let unreadable = || format!("`{}` is not a summary that loralab wrote; name a results folder", path.display());
    let summary: Value = serde_json::from_str(&text(SUMMARY)?).with_context(unreadable)?;
    let mut inputs = vec![(SUMMARY.to_owned(), without_times(&summary))];
    let report: Report = if summary.get("kind").is_some() {
        match serde_json::from_value(summary).with_context(unreadable)? {
            Reproduction::Exponents(found) => of_exponents(&found)?,
            Reproduction::Toy(found) => of_toy(&found)?,
            Reproduction::Crossing(found) => {
                let curves = best(folder, &found.summary)?;
                of_crossing(&found, &curves)?
            }
            Reproduction::Transformer(found) => of_transformer(&found)?,
            Reproduction::Curvature(found) => {
                let curves = best(folder, &found.summary)?;
                of_curvature(&found, &curves)?
            }
        }
    } else {
        let summary: Summary = serde_json::from_value(summary).with_context(unreadable)?;
        let settings = text(EXPERIMENT)?;
        let experiment =
            Experiment::from_toml(&settings).with_context(|| folder.join(EXPERIMENT).display().to_string())?;
        inputs.push((EXPERIMENT.to_owned(), settings));
        let curves = best(folder, &summary)?;
        let mut report = of_sweep(&summary, &experiment, &curves)?;
        if folder.join(SEARCH).exists() {
            let search = text(SEARCH)?;
            let choices: Vec<Choice> = serde_json::from_str(&search)
                .with_context(|| format!("`{}` is not a search that loralab wrote", folder.join(SEARCH).display()))?;
            inputs.push((SEARCH.to_owned(), search));
            report.sections.push(of_search(&choices));
        }
        report
    };
    for (name, contents) in report.files() {
        write_beside(&folder.join(name), contents.as_bytes())?;
    }
    write_beside(&folder.join(REPORT), report.html(&inputs).as_bytes())
}

/// The page of a tuning: the choice, and the report of the comparison.
///
/// # Errors
/// If a figure cannot be drawn.
pub fn of_tuning(tuned: &Tuned, experiment: &Resolved, summary: &Summary, curves: &[Curve]) -> Result<String> {
    let report = of_sweep(summary, &experiment.to_experiment(), curves)?;
    let report = loralab_report::of_tuning(tuned, report);
    Ok(report.html(&[(TUNED.to_owned(), without_times(&serde_json::to_value(tuned)?))]))
}

/// Writes a file of the report. If the folder is not writable, the error advises to copy the results.
fn write_beside(path: &Path, contents: &[u8]) -> Result<()> {
    write_whole(path, contents).map_err(|error| {
        anyhow!(
            "`{}` cannot be written ({}); check its permissions and the space left, or copy the results to a folder that can be written",
            path.display(),
            error.root_cause()
        )
    })
}

/// The curves of each scheme's best rate; none if the log belongs to another sweep.
fn best(folder: &Path, summary: &Summary) -> Result<Vec<Curve>> {
    let events = best_events(folder, summary)?;
    if let Some(scheme) = summary.schemes.iter().find(|scheme| !has_losses(scheme, &events)) {
        let rate = scheme.best_learning_rate.map(learning_rate_text).unwrap_or_default();
        note(format_args!(
            "`{}` does not belong to `{}`: the runs of {} at {rate} do not end there as they do here. The report shows no curves of runs.",
            folder.join(METRICS).display(),
            folder.join(SUMMARY).display(),
            scheme.scheme,
        ));
        return Ok(vec![]);
    }
    Ok(Curve::gather(&events))
}

/// True if the log and the summary have the same final losses of a scheme's runs at its best rate.
fn has_losses(scheme: &SchemeSummary, events: &[Event]) -> bool {
    let Some(best) = scheme.best() else { return true };
    let mut logged: Vec<(u64, f64)> = events
        .iter()
        .filter_map(|event| match event {
            Event::RunFinished { result } if result.cell.scheme == scheme.scheme => {
                Some((result.cell.seed, result.finished_loss()?))
            }
            _ => None,
        })
        .collect();
    logged.sort_by_key(|(seed, _)| *seed);
    // Numbers in JSON may be read with an error in their last digit.
    let alike = |(_, logged): &(u64, f64), loss: &Option<f64>| {
        loss.is_some_and(|loss| (loss - logged).abs() <= 1e-12 * loss.abs())
    };
    logged.len() == best.losses.len() && logged.iter().zip(&best.losses).all(|(logged, loss)| alike(logged, loss))
}
