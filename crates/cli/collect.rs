//! `loralab collect`: makes one result of the parts of a sweep that several machines trained.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use loralab_experiment::{BestCheckpoint, Cell, Event, Experiment, Resolved, RunResult, Setting, Summary};
use loralab_figure::results as files;
use serde::de::DeserializeOwned;

use crate::{
    args::{CollectArguments, Shard},
    dry_run::counted,
    durable::fill_folder,
    failure::usage,
    log::{Past, check_file},
    results::{ADAPTERS, COMMAND, EXPERIMENT, METRICS, Results, SUMMARY, best},
    resume::{Begun, settings_text},
    source,
    state::Facts,
    terminal::{note, print, quoted},
    trained::{write_figures, write_summary},
};

/// Bytes of lines that are written together.
const CHUNK: usize = 1 << 20;

/// The results of one part.
struct Part {
    folder: PathBuf,
    experiment: Resolved,
    /// The part of the grid, if the command that began it says so.
    shard: Option<Shard>,
    begun: Option<Begun>,
    /// None until a run has ended.
    summary: Option<Summary>,
    base: Option<(Option<f64>, Option<f64>)>,
    runs: Vec<RunResult>,
}

/// Reads the parts, and writes the whole.
pub fn collect(arguments: &CollectArguments) -> Result<()> {
    let parts = arguments.folders.iter().map(|folder| Part::read(folder)).collect::<Result<Vec<_>>>()?;
    let experiment = alike(&parts)?;
    let Some(setting) = parts.iter().find_map(|part| part.summary.as_ref()).map(|summary| &summary.setting) else {
        bail!("no run of these parts has ended, so there is nothing to collect");
    };
    let mut results = Results::open(&arguments.output, arguments.overwrite, false, None)?;
    let cells = experiment.cells();
    let known: HashMap<String, (&Part, &RunResult)> =
        parts.iter().flat_map(|part| part.runs.iter().map(move |run| (run.cell.id(), (part, run)))).collect();
    let found: Vec<(&Part, &RunResult)> = cells.iter().filter_map(|cell| known.get(&cell.id()).copied()).collect();
    let whole = found.len() == cells.len();
    let (name, contents) = files::settings(&experiment.to_experiment());
    results.begin(&Facts::default())?;
    results.write(&name, &contents)?;
    for (part, run) in &found {
        take_adapter(part, &run.cell, &results)?;
        let lacked = part.summary.iter().flat_map(|summary| &summary.unwritten);
        let of_run = |name: &&String| name.split('/').next() == Some(&run.cell.id());
        results.lacks(lacked.filter(of_run).cloned());
    }
    write_log(&mut results, &parts, &experiment, cells.len(), whole)?;
    let seconds = parts.iter().filter_map(|part| Some(part.summary.as_ref()?.setting.wall_seconds)).sum();
    let setting = Setting { wall_seconds: seconds, order: experiment.schemes.clone(), ..setting.clone() };
    let runs: Vec<RunResult> = found.iter().map(|(_, run)| (*run).clone()).collect();
    let mut summary = Summary::from_runs(setting, &runs);
    summary.planned = (!whole).then_some(cells.len());
    let kept = found.iter().filter(|(part, run)| part.folder.join(ADAPTERS).join(best(&run.cell)).is_dir());
    summary.best_checkpoints = kept.filter_map(|(_, run)| BestCheckpoint::of(run)).collect();
    write_summary(&mut results, &mut summary)?;
    write_figures(&results, &summary)?;
    results.replace_earlier()?;
    print(format_args!("{}\n{}\n", summary.table(), summary.sentence()))?;
    if !whole {
        note(missing_in_words(&parts, &cells, &known));
    }
    print(format_args!("Results are in `{}`.", results.folder().display()))?;
    Ok(())
}

impl Part {
    fn read(folder: &Path) -> Result<Self> {
        let file = folder.join(EXPERIMENT);
        if !file.is_file() {
            return Err(usage(format_args!(
                "`{}` holds no `{EXPERIMENT}`, so it is no results folder of a sweep",
                folder.display()
            )));
        }
        let experiment = source::experiment(Experiment::default(), Some(&file), Experiment::default())?;
        let past = Past::read(&folder.join(METRICS), u64::MAX)?;
        let begun: Option<Begun> = read_json(&folder.join(COMMAND))?;
        let shard = begun.as_ref().and_then(|begun| begun.typed.flags.get("shard")?.as_deref()?.parse().ok());
        let (base, runs) = (past.base, past.runs);
        let summary = read_json(&folder.join(SUMMARY))?;
        Ok(Self { folder: folder.to_owned(), experiment, shard, begun, summary, base, runs })
    }
}

/// A file of JSON; none if it is not there.
fn read_json<T: DeserializeOwned>(file: &Path) -> Result<Option<T>> {
    check_file(file)?;
    if !file.exists() {
        return Ok(None);
    }
    let unread = || format!("`{}` cannot be read", file.display());
    serde_json::from_slice(&fs::read(file).with_context(unread)?).with_context(unread)
}

/// The experiment of all parts, with the cells of all.
fn alike(parts: &[Part]) -> Result<Resolved> {
    let [first, others @ ..] = parts else { bail!("there are no parts") };
    let mut all = first.experiment.clone();
    for part in others {
        let (one, other) = (settings_text(&first.experiment, &all), settings_text(&part.experiment, &all));
        let (one_name, other_name) = (first.folder.display(), part.folder.display());
        if let Some((one, other)) = one.lines().zip(other.lines()).find(|(one, other)| one != other) {
            bail!("`{one_name}` has `{one}`, but `{other_name}` has `{other}`: they are no parts of one sweep");
        }
        if part.base != first.base {
            bail!(
                "the base alone has another loss in `{one_name}` than in `{other_name}`: base, data or device differ"
            );
        }
        let Resolved { schemes, learning_rates, seeds, .. } = &part.experiment;
        let new: Vec<String> = schemes.iter().filter(|scheme| !all.schemes.contains(scheme)).cloned().collect();
        all.schemes.extend(new);
        let new: Vec<f64> = learning_rates.iter().filter(|rate| !all.learning_rates.contains(rate)).copied().collect();
        all.learning_rates.extend(new);
        let new: Vec<u64> = seeds.iter().filter(|seed| !all.seeds.contains(seed)).copied().collect();
        all.seeds.extend(new);
    }
    all.learning_rates.sort_by(f64::total_cmp);
    all.seeds.sort_unstable();
    Ok(all)
}

/// The events of all parts, with one beginning and one end.
fn write_log(
    results: &mut Results,
    parts: &[Part],
    experiment: &Resolved,
    planned: usize,
    complete: bool,
) -> Result<()> {
    let (mut seconds, mut begun, mut lines) = (0.0, false, String::new());
    for part in parts {
        let log = part.folder.join(METRICS);
        let unread = || format!("`{}` cannot be read", log.display());
        for line in BufReader::new(File::open(&log).with_context(unread)?).lines() {
            let line = line.with_context(unread)?;
            // Only lines of these kinds are read: the others may be very many.
            let kind = |kind: &str| line.starts_with(&format!("{{\"event\":\"{kind}\""));
            if kind("started") || kind("finished") {
                match serde_json::from_str(&line) {
                    Ok(Event::Started { version, device, steps, .. }) if !begun => {
                        let schemes = experiment.schemes.clone();
                        let started = Event::Started { version, device, runs: planned, steps, schemes };
                        lines += &serde_json::to_string(&started)?;
                        lines.push('\n');
                    }
                    Ok(Event::Finished { seconds: of_part, .. }) => seconds += of_part,
                    _ => {}
                }
            } else if line.ends_with('}') && !(begun && kind("base")) {
                begun |= kind("base");
                lines += &line;
                lines.push('\n');
            }
            if lines.len() > CHUNK {
                results.log(lines.trim_end(), false)?;
                lines.clear();
            }
        }
    }
    let unwritten = results.unwritten().to_vec();
    lines += &serde_json::to_string(&Event::Finished { complete, seconds, unwritten })?;
    results.log(&lines, false)
}

/// Copies the adapter of a run, where the part has it.
fn take_adapter(part: &Part, cell: &Cell, results: &Results) -> Result<()> {
    let from = part.folder.join(ADAPTERS).join(cell.id());
    if !from.is_dir() {
        return Ok(());
    }
    fill_folder(&results.place().join(ADAPTERS).join(cell.id()), |to| copy(&from, to))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target)?;
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// The number of cells that no part has, and the commands that train them.
fn missing_in_words(parts: &[Part], cells: &[Cell], known: &HashMap<String, (&Part, &RunResult)>) -> String {
    let missing: Vec<String> = cells.iter().map(Cell::id).filter(|id| !known.contains_key(id)).collect();
    let runs = counted(missing.len(), "run");
    let mut words = format!("{runs} of {} are missing, {} the first. These train them:", cells.len(), missing[0]);
    let is_partial = |part: &&Part| part.summary.as_ref().is_none_or(|summary| summary.planned.is_some());
    for part in parts.iter().filter(is_partial) {
        words += &format!("\n  loralab sweep --resume {}", quoted(&part.folder.display().to_string()));
    }
    if let Some((part, begun, of)) = parts.iter().find_map(|part| Some((part, part.begun.as_ref()?, part.shard?.of))) {
        let output = part.folder.parent().unwrap_or(Path::new("."));
        let has = |number: &usize| parts.iter().any(|part| part.shard == Some(Shard { part: *number, of }));
        for number in (1..=of).filter(|number| !has(number)) {
            words += &format!("\n  {}", begun.again(Shard { part: number, of }, output));
        }
    }
    words
}
