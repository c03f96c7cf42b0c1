//! The results folder.
//!
//! Every file is written under a temporary name, synced to the disk and then renamed, so a file under its final name is complete, even after a power
//! failure. Only `metrics.jsonl` grows during the sweep, by whole lines. Earlier results stay until the first new result is complete; until then new
//! results are written to a temporary folder in the results folder.

use std::{
    fs, io, mem,
    path::{Path, PathBuf},
};

use anyhow::{Context, Error, Result, anyhow};
use loralab_core::lora::peft::Adapter;
use loralab_data::Dataset;
use loralab_experiment::Cell;
pub use loralab_figure::results::*;

use crate::{
    durable::{SPACE, is_full, move_into, parent, put, put_folder, sync_folder, unwritable, write_all, write_whole},
    earlier::Earlier,
    failure::usage,
    lock::Lock,
    log::{Complete, Log, Past, without},
    resume::Begun,
    saved,
    state::{Facts, STATES, State, States, check_data, fingerprint},
    terminal::note,
    tiles::TILES,
    trackers::optuna::JOURNAL,
};

/// The choices of a search for learning rates, each with its reason.
pub const SEARCH: &str = "search.json";
/// The report, one page.
pub const REPORT: &str = "report.html";
/// The outcome of a tuning.
pub const TUNED: &str = "tuned.json";
/// The command line that the results were begun with, from which `--resume` continues them.
pub const COMMAND: &str = "command.json";
/// The parts of a reproduction that are measured, by name.
pub const PARTS: &str = "parts.json";
/// The base that an adapter belongs to, if it differs from the base that the start was computed for.
pub const BASE: &str = "base.safetensors";

/// All files of results, without those of a report, of adapters, of TensorBoard and of the sweeps of a reproduction.
pub const FILES: [&str; 13] = [
    METRICS,
    EXPERIMENT,
    SUMMARY,
    SEARCH,
    LOSS_BY_LEARNING_RATE,
    TRAINING_CURVES,
    REPORT,
    TILES,
    COMMAND,
    PARTS,
    JOURNAL,
    STATES[0],
    STATES[1],
];
/// The files of an adapter.
pub const ADAPTER_FILES: [&str; 3] = [ADAPTER_CONFIG, ADAPTER_TENSORS, BASE];

/// A remedy for a folder that holds results; follows the advice to choose another folder.
pub const OVERWRITE: &str = ", or replace its results with `--overwrite`";

/// The lock file of a results folder; its writer holds the lock.
pub const LOCK: &str = ".lock";
/// The folder of new results, until the first is complete and they replace the earlier ones.
pub const NEW: &str = ".new.partial";
/// The same folder once the earlier results are removed, until its contents are moved to their place.
const MOVING: &str = ".moving.partial";

/// A results folder, locked by this process.
#[derive(Debug)]
pub struct Results {
    folder: PathBuf,
    /// The current place of the results: the folder, or [`NEW`] in it if it holds earlier results.
    place: PathBuf,
    earlier: Earlier,
    /// The command that continues them; none if another folder has it.
    begun: Option<Begun>,
    states: States,
    /// The fingerprint of the data that are trained on.
    data: String,
    log: Option<Log>,
    /// The runs whose adapters are written, by name.
    adapters: Vec<String>,
    /// The runs whose adapters could not be written, by name.
    unwritten: Vec<String>,
    /// The error of the first of them.
    failure: Option<Error>,
    _lock: Lock,
}

impl Results {
    /// Refuses a folder that is not empty; `remedy` is advice added to that of choosing another.
    pub fn check_free(folder: &Path, remedy: &str) -> Result<()> {
        Self::refuse_file(folder)?;
        if !folder.exists() {
            return Ok(());
        }
        let name = folder.display();
        let entries = fs::read_dir(folder).with_context(|| format!("the results folder `{name}` cannot be read"))?;
        // A killed process leaves its lock file, which nobody holds.
        if entries.flatten().any(|entry| entry.file_name() != LOCK) {
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

    /// Locks the folder, of results that begin or are to be continued; `begun` is the command that continues them.
    ///
    /// # Errors
    /// As for `claim` and `resume`.
    pub fn open(folder: &Path, overwrite: bool, resumes: bool, begun: Option<&Begun>) -> Result<Self> {
        if resumes { Self::resume(folder, begun) } else { Self::claim(folder, overwrite, begun) }
    }

    /// Creates and locks the folder. Its contents stay unchanged; a created folder is removed again if nothing is written to it.
    ///
    /// # Errors
    /// If it holds files that may not be overwritten, another process writes there, or it is not writable.
    fn claim(folder: &Path, overwrite: bool, begun: Option<&Begun>) -> Result<Self> {
        let goes_on = if begun.is_some() && folder.join(COMMAND).exists() { ", or go on with `--resume`" } else { "" };
        let check = || match overwrite {
            true => Self::refuse_file(folder),
            false => Self::check_free(folder, &format!("{OVERWRITE}{goes_on}")),
        };
        check()?;
        let lock = lock(&folder.join(LOCK), folder)?;
        // Another process may have written there in the meantime.
        check()?;
        finish_move(folder).with_context(|| unwritable(folder))?;
        let (earlier, new) = (Earlier::of(folder), folder.join(NEW));
        let place = if earlier.is_empty() { folder.to_owned() } else { new.clone() };
        let begin = || {
            if new.exists() {
                fs::remove_dir_all(&new)?;
            }
            fs::create_dir_all(&place)?;
            sync_folder(parent(folder))
        };
        begin().with_context(|| unwritable(folder))?;
        Ok(Self::new(folder, place, earlier, begun, lock))
    }

    fn new(folder: &Path, place: PathBuf, earlier: Earlier, begun: Option<&Begun>, lock: Lock) -> Self {
        let states = States::of_folder(&place);
        let (folder, begun) = (folder.to_owned(), begun.cloned());
        let (adapters, unwritten, failure) = (vec![], vec![], None);
        Self {
            folder,
            place,
            earlier,
            begun,
            states,
            data: String::new(),
            log: None,
            adapters,
            unwritten,
            failure,
            _lock: lock,
        }
    }

    /// Locks a folder whose results are to be continued.
    ///
    /// # Errors
    /// If another process writes there, or it is not writable.
    fn resume(folder: &Path, begun: Option<&Begun>) -> Result<Self> {
        Self::refuse_file(folder)?;
        let lock = lock(&folder.join(LOCK), folder)?;
        finish_move(folder).with_context(|| unwritable(folder))?;
        let new = folder.join(NEW);
        let (place, earlier) = match fs::read_dir(&new).is_ok_and(|mut files| files.next().is_some()) {
            true => (new, Earlier::of(folder)),
            false => (folder.to_owned(), Earlier::default()),
        };
        fs::create_dir_all(&place).with_context(|| unwritable(folder))?;
        Ok(Self::new(folder, place, earlier, begun, lock))
    }

    /// The state to continue from, and what the log says up to it; both are empty for a sweep that begins.
    ///
    /// # Errors
    /// If the log cannot be read, or the data are others.
    pub fn past(&mut self, train: &Dataset) -> Result<(State, Past)> {
        self.data = fingerprint(train);
        let log = self.place.join(METRICS);
        let mut state = self.states.load();
        if state.is_none() && log.is_file() {
            // A sweep that is complete has no state any more.
            let complete = Past::read(&log, u64::MAX)?.complete;
            let facts = complete.map(|complete| {
                let Complete { log, seconds, unwritten } = complete;
                Facts { log, seconds, unwritten, data: self.data.clone() }
            });
            state = facts.map(|facts| State { facts, bytes: vec![] });
        }
        let Some(state) = state else { return Ok(Default::default()) };
        check_data(&state.facts, &self.data)?;
        let mut past = Past::read(&log, state.facts.log)?;
        // Runs whose adapters could not be written are trained again.
        past.runs.retain(|run| !state.facts.forgets(&run.cell.id()));
        let has_adapter = |name: &String| self.place.join(ADAPTERS).join(name).join(ADAPTER_TENSORS).is_file();
        let names = past.runs.iter().flat_map(|run| [run.cell.id(), best(&run.cell)]);
        self.adapters = names.filter(has_adapter).collect();
        Ok((state, past))
    }

    /// Opens the log of a sweep, which is kept as far as the facts of its state say, and creates the folder of its adapters; writes the command that `--resume` continues.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn begin(&mut self, facts: &Facts) -> Result<()> {
        let mut facts = facts.clone();
        // Without a state, a log that is cut would be taken for one that began.
        if facts.log > 0 && !self.states.exist() {
            self.states.save(&State { facts: facts.clone(), bytes: vec![] })?;
        }
        if !facts.unwritten.is_empty() {
            let log = self.place.join(METRICS);
            let kept = without(&log, facts.log, |run| facts.forgets(run))?;
            (facts.log, facts.unwritten) = (kept.len() as u64, vec![]);
            write_whole(&log, &kept)?;
        }
        let begin = || {
            fs::create_dir_all(self.place.join(ADAPTERS))?;
            Log::open(&self.place.join(METRICS), facts.log)
        };
        self.log = Some(begin().with_context(|| unwritable(&self.folder))?);
        self.write_command()
    }

    /// Writes the command that `--resume` continues.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_command(&self) -> Result<()> {
        self.begun.as_ref().map_or(Ok(()), |begun| begun.write(&self.place.join(COMMAND)))
    }

    /// Writes the state of the training; `bytes` are empty between two cohorts.
    ///
    /// # Errors
    /// If it, or the log that it follows, cannot be written.
    pub fn save(&mut self, seconds: f64, bytes: Vec<u8>) -> Result<()> {
        self.sync()?;
        let log = self.log.as_ref().map_or(0, Log::length);
        let facts = Facts { log, seconds, unwritten: self.unwritten.clone(), data: self.data.clone() };
        self.states.save(&State { facts, bytes })
    }

    /// The command line that continues the training; none if no state is saved.
    pub fn continuing(&self) -> Option<String> {
        self.begun.as_ref().filter(|_| self.states.exist()).map(|begun| begun.continuing(&self.folder))
    }

    /// Removes the states of a training that is complete.
    pub fn remove_states(&self) {
        self.states.remove();
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder that holds the results written so far.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// True if the folder still holds its earlier results.
    pub fn keeps_earlier(&self) -> bool {
        self.place != self.folder
    }

    /// Removes the earlier results and moves the new ones to their place. Called when the first new result is complete; later calls do nothing.
    ///
    /// # Errors
    /// If that fails; the new results are then beside the rest of the earlier ones.
    pub fn replace_earlier(&mut self) -> Result<()> {
        if !self.keeps_earlier() {
            return Ok(());
        }
        self.sync()?;
        let new = mem::replace(&mut self.place, self.folder.clone());
        self.states.move_to(&self.folder);
        let replace = || {
            self.earlier.remove()?;
            fs::rename(&new, self.folder.join(MOVING))?;
            finish_move(&self.folder)
        };
        replace().with_context(|| {
            let (folder, new) = (self.folder.display(), new.display());
            format!("the earlier results in `{folder}` cannot be replaced by the new ones, which are in `{new}`")
        })
    }

    /// Writes a file by its name in the results.
    pub fn write(&self, name: &str, contents: &[u8]) -> Result<()> {
        put(&self.place.join(name), contents).with_context(|| unwritable(&self.folder.join(name)))
    }

    /// Adds a line to the log. If it cannot be written and `is_owed`, it is stored and written before the next line.
    ///
    /// # Errors
    /// If it, or a stored line, cannot be written.
    pub fn log(&mut self, line: &str, is_owed: bool) -> Result<()> {
        let Some(log) = &mut self.log else { return Ok(()) };
        log.add(line, is_owed).with_context(|| unwritable(&self.folder.join(METRICS)))
    }

    /// Writes essential results: on a full disk it removes adapters to make room, the last one first.
    ///
    /// # Errors
    /// If the write fails even then.
    pub fn insist(&mut self, mut write: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        // Limited, since removing files does not free space on some disks.
        const MOST: usize = 16;
        for _ in 0..MOST {
            match write(self) {
                Err(error) if is_full(&error) && self.make_room() => {}
                written => return written,
            }
        }
        write(self)
    }

    /// Removes the last adapter written; false if there is none.
    fn make_room(&mut self) -> bool {
        let Some(run) = self.adapters.pop() else { return false };
        let folder = self.place.join(ADAPTERS).join(&run);
        for name in ADAPTER_FILES {
            let _ = fs::remove_file(folder.join(name));
        }
        // A folder with files of someone else stays.
        let _ = fs::remove_dir(folder);
        let removed =
            || anyhow!("the adapter of {run} was removed, to make room for the results on a disk that is full");
        self.failure.get_or_insert_with(removed);
        self.unwritten.push(run);
        true
    }

    /// Syncs the log and the names of the adapters to the disk; all other files are synced when written.
    pub fn sync(&self) -> Result<()> {
        let Some(log) = &self.log else { return Ok(()) };
        let synced = log.sync().and_then(|()| sync_folder(&self.place.join(ADAPTERS)));
        synced.with_context(|| unwritable(&self.folder.join(METRICS)))
    }

    /// Writes the adapter of a run, or its [`best`]. If that fails, its name is added to [`unwritten`](Self::unwritten).
    pub fn adapter(&mut self, run: String, adapter: &Adapter) {
        match self.write_adapter(&run, adapter) {
            Ok(()) => self.adapters.push(run),
            Err(error) => {
                if self.unwritten.is_empty() {
                    note(format_args!("The work goes on, but {error:#}."));
                }
                self.failure.get_or_insert(error);
                self.unwritten.push(run);
            }
        }
    }

    fn write_adapter(&self, run: &str, adapter: &Adapter) -> Result<()> {
        let unwritten = || format!("the adapter of {run} cannot be written; {SPACE}");
        let files = adapter.to_peft().with_context(|| format!("the adapter of {run} cannot be written"))?;
        let contents = [(ADAPTER_CONFIG, files.config_json.as_bytes()), (ADAPTER_TENSORS, &files.safetensors)];
        let folder = self.place.join(ADAPTERS).join(run);
        put_folder(&folder, |partial| write_all(partial, &contents)).with_context(unwritten)?;
        saved::read_back(&folder, &files).with_context(|| format!("the adapter of {run} is not what was written"))
    }

    /// Adds runs whose adapters could not be written elsewhere, by name.
    pub fn lacks(&mut self, runs: impl IntoIterator<Item = String>) {
        self.unwritten.extend(runs);
    }

    /// The runs whose adapters could not be written, by name.
    pub fn unwritten(&self) -> &[String] {
        &self.unwritten
    }

    /// Takes the error of the first adapter that was not written or had to be removed; none at the second call.
    pub fn take_failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    /// True if a run's adapter is written.
    pub fn has_adapter(&self, cell: &Cell) -> bool {
        self.adapters.contains(&cell.id())
    }

    /// True if the adapter with a run's lowest validation loss is written.
    pub fn has_best(&self, cell: &Cell) -> bool {
        self.adapters.contains(&best(cell))
    }

    /// The folder of a run's adapter.
    pub fn adapter_folder(&self, cell: &Cell) -> PathBuf {
        self.folder.join(ADAPTERS).join(cell.id())
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        // Results that can be continued stay.
        if self.keeps_earlier() && !self.states.exist() && !self.place.join(PARTS).exists() {
            self.log = None;
            let _ = fs::remove_dir_all(&self.place);
        }
    }
}

/// Moves new results to their place in a folder whose earlier results are removed, if there are any; a killed process may have moved a part of them.
fn finish_move(folder: &Path) -> io::Result<()> {
    let moving = folder.join(MOVING);
    if moving.is_dir() {
        move_into(&moving, folder)?;
        sync_folder(folder)?;
    }
    Ok(())
}

/// Locks a results folder while files are added to it.
///
/// # Errors
/// If another process writes there, or it is not writable.
pub fn lock_folder(folder: &Path) -> Result<Lock> {
    lock(&folder.join(LOCK), folder)
}

/// Locks a file or folder to be written, and creates its parents. So an output that cannot be written is an error before the work.
///
/// # Errors
/// If another process writes it, or it cannot be written.
pub fn lock_output(output: &Path) -> Result<Lock> {
    let name = output.file_name().unwrap_or_default().to_string_lossy();
    lock(&output.with_file_name(format!(".{name}.lock")), output)
}

fn lock(file: &Path, what: &Path) -> Result<Lock> {
    Lock::take(file).with_context(|| unwritable(what))?.ok_or_else(|| {
        let what = what.display();
        anyhow!("another process of loralab writes to `{what}` now; wait until it has ended, or choose another folder")
    })
}
