//! `loralab report`: a results folder as one page, with its figures and tables as files.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use loralab_experiment::{Choice, Curve, Experiment, Reproduction, Summary};
use loralab_report::{
    Report, of_crossing, of_curvature, of_exponents, of_search, of_sweep, of_toy, of_transformer, without_times,
};
use serde_json::Value;

use crate::{
    args::ReportArguments,
    results::{EXPERIMENT, METRICS, REPORT, SEARCH, SUMMARY, best_events, lock_folder, write_whole},
    source,
    terminal::print,
};

/// Writes the report into the folder.
pub fn report(arguments: &ReportArguments) -> Result<()> {
    // A sweep that goes on would write between what is read here.
    let _lock = arguments.results.is_dir().then(|| lock_folder(&arguments.results)).transpose()?;
    write(&arguments.results)?;
    print(format_args!("The report is `{}`.", arguments.results.join(REPORT).display()))?;
    Ok(())
}

/// Writes the page, its figures and its tables beside the results they are made from.
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

/// Writes a file of the report; where that can't be, copying the results helps, since the report stands beside them.
fn write_beside(path: &Path, contents: &[u8]) -> Result<()> {
    write_whole(path, contents).map_err(|error| {
        anyhow!(
            "`{}` cannot be written ({}); check its permissions and the space left, or copy the results to a folder that can be written",
            path.display(),
            error.root_cause()
        )
    })
}

/// The curves of each scheme's best rate.
fn best(folder: &Path, summary: &Summary) -> Result<Vec<Curve>> {
    let events = best_events(folder, summary)?;
    Ok(Curve::gather(&events))
}
