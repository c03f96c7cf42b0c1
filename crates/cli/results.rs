//! The results folder.
//!
//! Every file is written under a temporary name and then renamed, so what has its name is whole. Only `metrics.jsonl`
//! grows as the sweep goes on, by whole lines.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use loralab_core::adapter::{Adapter, PeftFiles};
use loralab_experiment::{Cell, Event, Summary};

use crate::{failure::usage, tiles::TILES};

/// The log of events, one JSON object a line.
pub const METRICS: &str = "metrics.jsonl";
/// The experiment with every setting written out.
pub const EXPERIMENT: &str = "experiment.toml";
/// What the sweep found.
pub const SUMMARY: &str = "summary.json";
/// The headline figure.
pub const LOSS_BY_LEARNING_RATE: &str = "loss_by_learning_rate.svg";
/// Loss over steps.
pub const TRAINING_CURVES: &str = "training_curves.svg";
/// The rates that were searched for, choice by choice, with why each was tried.
pub const SEARCH: &str = "search.json";
/// The report, one page.
pub const REPORT: &str = "report.html";
/// A folder for each run that did not diverge, in PEFT's layout.
pub const ADAPTERS: &str = "adapters";
/// The base that an adapter belongs to, where it belongs to another than it was made for.
pub const BASE: &str = "base.safetensors";

const FILES: [&str; 8] = [METRICS, EXPERIMENT, SUMMARY, SEARCH, LOSS_BY_LEARNING_RATE, TRAINING_CURVES, REPORT, TILES];

/// A folder that results are written to.
pub struct Results {
    folder: PathBuf,
    metrics: File,
}

impl Results {
    /// Refuses a folder that cannot take results, without changing anything.
    pub fn check(folder: &Path, overwrite: bool) -> Result<()> {
        if overwrite {
            Self::refuse_file(folder)
        } else {
            Self::check_free(folder, ", or replace its results with `--overwrite`")
        }
    }

    /// Refuses a folder that holds something; `remedy` is what can be done beside choosing another.
    pub fn check_free(folder: &Path, remedy: &str) -> Result<()> {
        Self::refuse_file(folder)?;
        if !folder.exists() {
            return Ok(());
        }
        let name = folder.display();
        let mut entries =
            fs::read_dir(folder).with_context(|| format!("the results folder `{name}` cannot be read"))?;
        if entries.next().is_some() {
            return Err(usage(format_args!(
                "the results folder `{name}` exists and is not empty; choose another with `--output FOLDER`{remedy}"
            )));
        }
        Ok(())
    }

    fn refuse_file(folder: &Path) -> Result<()> {
        let name = folder.display();
        if folder.is_file() {
            return Err(usage(format_args!(
                "`{name}` is a file, but results need a folder; choose another `--output`"
            )));
        }
        Ok(())
    }

    /// Makes the folder, takes away earlier results if that was asked for, and begins the log.
    pub fn create(folder: &Path, overwrite: bool) -> Result<Self> {
        Self::check(folder, overwrite)?;
        let begin = || {
            fs::create_dir_all(folder)?;
            for file in FILES.map(|name| folder.join(name)).iter().filter(|file| file.exists()) {
                fs::remove_file(file)?;
            }
            let adapters = folder.join(ADAPTERS);
            if adapters.exists() {
                fs::remove_dir_all(&adapters)?;
            }
            fs::create_dir(&adapters)?;
            File::create(folder.join(METRICS))
        };
        let metrics = begin().with_context(|| unwritable(folder))?;
        Ok(Self { folder: folder.to_owned(), metrics })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file.
    pub fn write(&self, name: &str, contents: &[u8]) -> Result<()> {
        write_whole(&self.folder.join(name), contents)
    }

    /// Adds a line to the log.
    pub fn log(&mut self, line: &str) -> Result<()> {
        // One write for each line, so that a process that is killed leaves whole lines.
        self.metrics.write_all(format!("{line}\n").as_bytes()).with_context(|| unwritable(&self.folder.join(METRICS)))
    }

    /// Writes a run's adapter.
    pub fn adapter(&self, cell: &Cell, adapter: &Adapter) -> Result<()> {
        let folder = self.adapter_folder(cell);
        write_adapter(&folder, adapter).with_context(|| format!("the adapter of {} cannot be written", cell.id()))
    }

    /// Where a run's adapter is.
    pub fn adapter_folder(&self, cell: &Cell) -> PathBuf {
        self.folder.join(ADAPTERS).join(cell.id())
    }
}

/// What happened to each scheme's runs at its best learning rate, out of the log: all events of a large sweep need not
/// be held in memory.
pub fn best_events(folder: &Path, summary: &Summary) -> Result<Vec<Event>> {
    let path = folder.join(METRICS);
    let unread = || format!("the log `{}` cannot be read again", path.display());
    let is_best = |cell: &Cell| {
        let of_cell = |best: &f64| *best == cell.learning_rate;
        summary
            .schemes
            .iter()
            .any(|row| row.scheme == cell.scheme && row.best_learning_rate.as_ref().is_some_and(of_cell))
    };
    let mut events = Vec::new();
    for line in BufReader::new(File::open(&path).with_context(unread)?).lines() {
        let event: Event = serde_json::from_str(&line.with_context(unread)?).with_context(unread)?;
        if event.cell().is_some_and(is_best) {
            events.push(event);
        }
    }
    Ok(events)
}

/// Writes an adapter's folder, which must be new or empty.
pub fn write_adapter(folder: &Path, adapter: &Adapter) -> Result<()> {
    write_folder(folder, &adapter.to_peft()?, &[])
}

/// Writes an adapter's folder, which must be new or empty, and other files with it, under a temporary name beside it and renames it.
pub fn write_folder(folder: &Path, adapter: &PeftFiles, others: &[(&str, &[u8])]) -> Result<()> {
    let partial = partial(folder);
    let write = || {
        fs::create_dir_all(&partial)?;
        fs::write(partial.join("adapter_config.json"), &adapter.config_json)?;
        fs::write(partial.join("adapter_model.safetensors"), &adapter.safetensors)?;
        for (name, contents) in others {
            fs::write(partial.join(name), contents)?;
        }
        if folder.exists() {
            fs::remove_dir(folder)?;
        }
        fs::rename(&partial, folder)
    };
    write().inspect_err(|_| drop(fs::remove_dir_all(&partial))).with_context(|| unwritable(folder))
}

/// Writes a file under a temporary name beside it and renames it.
pub fn write_whole(path: &Path, contents: &[u8]) -> Result<()> {
    let partial = partial(path);
    let written = fs::write(&partial, contents).and_then(|()| fs::rename(&partial, path));
    written.inspect_err(|_| drop(fs::remove_file(&partial))).with_context(|| unwritable(path))
}

/// Whether a file could be written, without leaving anything.
pub fn probe(path: &Path) -> Result<()> {
    let partial = partial(path);
    fs::write(&partial, b"").and_then(|()| fs::remove_file(&partial)).with_context(|| unwritable(path))
}

/// The temporary name of something: hidden, and in the same folder, so that renaming it is one step.
fn partial(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.partial"))
}

/// What to do about a path that cannot be written.
pub fn unwritable(path: &Path) -> String {
    format!(
        "`{}` cannot be written; check its permissions and the space left, or choose another `--output`",
        path.display()
    )
}
