//! The results folder.
//!
//! Every file is written under a temporary name, brought to the disk and then renamed, so what has its name is whole, also after a power failure. Only
//! `metrics.jsonl` grows as the sweep goes on, by whole lines. Earlier results stay until the first of the new ones is whole: until then those are
//! written to a folder of their own in the results folder.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    mem,
    path::{Path, PathBuf},
};

use anyhow::{Context, Error, Result, anyhow, bail};
use loralab_core::lora::peft::Adapter;
use loralab_experiment::{Bytes, Cell, Event, Summary};

use crate::{earlier::Earlier, failure::usage, lock::Lock, terminal::note, tiles::TILES};

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

/// Every file of results beside those of a report, of adapters and of the sweeps of a reproduction.
pub const FILES: [&str; 8] =
    [METRICS, EXPERIMENT, SUMMARY, SEARCH, LOSS_BY_LEARNING_RATE, TRAINING_CURVES, REPORT, TILES];
/// The files of an adapter.
pub const ADAPTER_FILES: [&str; 3] = ["adapter_config.json", "adapter_model.safetensors", BASE];

/// What can be done about a folder that holds results, beside choosing another.
pub const OVERWRITE: &str = ", or replace its results with `--overwrite`";

/// The file in a results folder that whoever writes there has locked.
const LOCK: &str = ".lock";
/// New results, until the first is whole and they replace the earlier ones.
const NEW: &str = ".new.partial";

/// A folder that results are written to, by this process alone.
#[derive(Debug)]
pub struct Results {
    folder: PathBuf,
    /// Where the results are now: the folder, or the one in it beside earlier results.
    place: PathBuf,
    earlier: Earlier,
    log: Option<Log>,
    /// The runs whose adapters are written, by name.
    adapters: Vec<String>,
    /// Those whose adapters could not be.
    unwritten: Vec<String>,
    /// Why not, of the first of them.
    failure: Option<Error>,
    _lock: Lock,
}

/// The log.
#[derive(Debug)]
struct Log {
    file: File,
    /// How many bytes of it are whole lines.
    length: u64,
    /// Lines that are still to be written.
    owed: String,
}

impl Results {
    /// Refuses a folder that holds something; `remedy` is what can be done beside choosing another.
    pub fn check_free(folder: &Path, remedy: &str) -> Result<()> {
        Self::refuse_file(folder)?;
        if !folder.exists() {
            return Ok(());
        }
        let name = folder.display();
        let entries = fs::read_dir(folder).with_context(|| format!("the results folder `{name}` cannot be read"))?;
        // A process that was killed leaves its lock, which nobody holds.
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

    /// Makes the folder and keeps other processes out of it. What it holds stays as it is, and if nothing is written to it, a folder that was made goes
    /// away again.
    ///
    /// # Errors
    /// If it holds something that may not be overwritten, another process writes there, or nothing can be written there.
    pub fn claim(folder: &Path, overwrite: bool) -> Result<Self> {
        let check = || match overwrite {
            true => Self::refuse_file(folder),
            false => Self::check_free(folder, OVERWRITE),
        };
        check()?;
        let lock = lock(&folder.join(LOCK), folder)?;
        // Another process may have written there in the meantime.
        check()?;
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
        let (adapters, unwritten, failure) = (vec![], vec![], None);
        Ok(Self { folder: folder.to_owned(), place, earlier, log: None, adapters, unwritten, failure, _lock: lock })
    }

    /// Begins the log of a sweep, and a folder for its adapters.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn begin(&mut self) -> Result<()> {
        let begin = || {
            fs::create_dir_all(self.place.join(ADAPTERS))?;
            File::create(self.place.join(METRICS))
        };
        let file = begin().with_context(|| unwritable(&self.folder))?;
        self.log = Some(Log { file, length: 0, owed: String::new() });
        Ok(())
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where what was written so far can be read.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Whether the folder still holds the results that it held before.
    pub fn keeps_earlier(&self) -> bool {
        self.place != self.folder
    }

    /// Puts the results in the place of the earlier ones, which are removed. Called when the first of them is whole; there is nothing to do after that.
    ///
    /// # Errors
    /// If that fails; what is new is then beside what is left of the earlier ones.
    pub fn replace_earlier(&mut self) -> Result<()> {
        if !self.keeps_earlier() {
            return Ok(());
        }
        self.sync()?;
        let new = mem::replace(&mut self.place, self.folder.clone());
        let replace = || {
            self.earlier.remove()?;
            move_into(&new, &self.folder)?;
            sync_folder(&self.folder)
        };
        replace().with_context(|| {
            let (folder, new) = (self.folder.display(), new.display());
            format!("the earlier results in `{folder}` cannot be replaced by the new ones, which are in `{new}`")
        })
    }

    /// Writes a file.
    pub fn write(&self, name: &str, contents: &[u8]) -> Result<()> {
        put(&self.place.join(name), contents).with_context(|| unwritable(&self.folder.join(name)))
    }

    /// Adds a line to the log. One that is owed is written before the next line, if it can't be now.
    ///
    /// # Errors
    /// If it, or one that is owed, cannot be written.
    pub fn log(&mut self, line: &str, is_owed: bool) -> Result<()> {
        let Some(log) = &mut self.log else { return Ok(()) };
        let before = log.owed.len();
        log.owed += line;
        log.owed.push('\n');
        // One write for all, so that a process that is killed leaves whole lines.
        let written = log.file.write_all(log.owed.as_bytes());
        if written.is_ok() {
            log.length += log.owed.len() as u64;
            log.owed.clear();
        } else {
            // So does a disk that is full.
            let _ = log.file.set_len(log.length).and_then(|()| log.file.seek(SeekFrom::Start(log.length)));
            log.owed.truncate(if is_owed { log.owed.len() } else { before });
        }
        written.with_context(|| unwritable(&self.folder.join(METRICS)))
    }

    /// Writes what may not be lost: on a disk that is full, adapters make room for it, the last one first.
    ///
    /// # Errors
    /// If it cannot be written even so.
    pub fn insist(&mut self, mut write: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        // Some disks have no more room than before when something is removed.
        const MOST: usize = 16;
        for _ in 0..MOST {
            match write(self) {
                Err(error) if is_full(&error) && self.make_room() => {}
                written => return written,
            }
        }
        write(self)
    }

    /// Removes the adapter that was written last, if there is one.
    fn make_room(&mut self) -> bool {
        let Some(run) = self.adapters.pop() else { return false };
        let folder = self.place.join(ADAPTERS).join(&run);
        for name in ADAPTER_FILES {
            let _ = fs::remove_file(folder.join(name));
        }
        // What is someone else's stays.
        let _ = fs::remove_dir(folder);
        let removed =
            || anyhow!("the adapter of {run} was removed, to make room for the results on a disk that is full");
        self.failure.get_or_insert_with(removed);
        self.unwritten.push(run);
        true
    }

    /// Brings the log and the names of the adapters to the disk, on which everything else is already.
    pub fn sync(&self) -> Result<()> {
        let Some(log) = &self.log else { return Ok(()) };
        let synced = log.file.sync_data().and_then(|()| sync_folder(&self.place.join(ADAPTERS)));
        synced.with_context(|| unwritable(&self.folder.join(METRICS)))
    }

    /// Writes a run's adapter. If that can't be, the run is among the [`unwritten`](Self::unwritten).
    pub fn adapter(&mut self, cell: &Cell, adapter: &Adapter) {
        let run = cell.id();
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
        let [config, tensors, _] = ADAPTER_FILES;
        let files = [(config, files.config_json.as_bytes()), (tensors, &files.safetensors)];
        put_folder(&self.place.join(ADAPTERS).join(run), &files).with_context(unwritten)
    }

    /// The runs whose adapters could not be written, by name.
    pub fn unwritten(&self) -> &[String] {
        &self.unwritten
    }

    /// Why the first of them could not be; told once.
    pub fn take_failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    /// Whether a run's adapter is written.
    pub fn has_adapter(&self, cell: &Cell) -> bool {
        self.adapters.contains(&cell.id())
    }

    /// Where a run's adapter is.
    pub fn adapter_folder(&self, cell: &Cell) -> PathBuf {
        self.folder.join(ADAPTERS).join(cell.id())
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        if self.keeps_earlier() {
            self.log = None;
            let _ = fs::remove_dir_all(&self.place);
        }
    }
}

/// Keeps other processes out of a results folder while something is added to what it holds.
///
/// # Errors
/// If one writes there, or nothing can be written there.
pub fn lock_folder(folder: &Path) -> Result<Lock> {
    lock(&folder.join(LOCK), folder)
}

/// Keeps other processes from writing the same file or folder, and makes the folders around it. What cannot be written is so known before the work.
///
/// # Errors
/// If one writes it already, or it cannot be written.
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

/// Most bytes of a line of a log: that of a cohort names all its runs.
const LONGEST_LINE: u64 = 64 << 20;

/// Refuses what is of no known size, such as a pipe, which would be read without end: results are files.
///
/// # Errors
/// If it is no file.
pub fn check_file(path: &Path) -> Result<()> {
    if path.exists() && !path.is_file() {
        bail!("`{}` is a folder, a pipe or a device, but results are read from files only", path.display());
    }
    Ok(())
}

/// What happened to each scheme's runs at its best learning rate, out of the log: all events of a large sweep need not
/// be held in memory. A last line that was cut off, as a process that is killed may leave it, is told of and left out.
///
/// # Errors
/// If the log cannot be read or is no file, or another line of it is no event.
pub fn best_events(folder: &Path, summary: &Summary) -> Result<Vec<Event>> {
    let path = folder.join(METRICS);
    let unread = || format!("the log `{}` cannot be read", path.display());
    let is_best = |cell: &Cell| {
        let of_cell = |best: &f64| *best == cell.learning_rate;
        summary
            .schemes
            .iter()
            .any(|row| row.scheme == cell.scheme && row.best_learning_rate.as_ref().is_some_and(of_cell))
    };
    check_file(&path)?;
    let mut log = BufReader::new(File::open(&path).with_context(unread)?);
    let (mut events, mut line, mut number) = (Vec::new(), Vec::new(), 0);
    while (&mut log).take(LONGEST_LINE + 1).read_until(b'\n', &mut line).with_context(unread)? > 0 {
        number += 1;
        if line.len() as u64 > LONGEST_LINE {
            bail!(
                "line {number} of `{}` is longer than {}, so it is no event of a sweep",
                path.display(),
                Bytes(LONGEST_LINE)
            );
        }
        match serde_json::from_slice::<Event>(&line) {
            Ok(event) if event.cell().is_some_and(is_best) => events.push(event),
            Ok(_) => {}
            Err(_) if line.last() != Some(&b'\n') => {
                note(format_args!(
                    "The last line of `{}`, line {number}, was cut off; it is left out.",
                    path.display()
                ));
            }
            Err(error) => bail!(
                "line {number} of `{}` is no event of a sweep ({error}); remove that line, or train the sweep again",
                path.display()
            ),
        }
        line.clear();
    }
    Ok(events)
}

/// Writes a folder under a temporary name beside it and renames it, so that it is there with all of its files or not at all. A folder that holds
/// something else keeps that.
///
/// # Errors
/// If it cannot be written.
pub fn write_folder(folder: &Path, files: &[(&str, &[u8])]) -> Result<()> {
    put_folder(folder, files).and_then(|()| sync_folder(parent(folder))).with_context(|| unwritable(folder))
}

/// The same, but for its name, which is on the disk when the folder it is in is.
fn put_folder(folder: &Path, files: &[(&str, &[u8])]) -> io::Result<()> {
    let partial = partial(folder);
    let write = || {
        // Of a process that was killed.
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        fs::create_dir_all(&partial)?;
        for (name, contents) in files {
            write_synced(&partial.join(name), contents)?;
        }
        sync_folder(&partial)?;
        move_into(&partial, folder)
    };
    write().inspect_err(|_| drop(fs::remove_dir_all(&partial)))
}

/// Writes a file under a temporary name beside it and renames it.
///
/// # Errors
/// If it cannot be written.
pub fn write_whole(path: &Path, contents: &[u8]) -> Result<()> {
    put(path, contents).with_context(|| unwritable(path))
}

fn put(path: &Path, contents: &[u8]) -> io::Result<()> {
    let partial = partial(path);
    let write = || {
        write_synced(&partial, contents)?;
        fs::rename(&partial, path)?;
        sync_folder(parent(path))
    };
    write().inspect_err(|_| drop(fs::remove_file(&partial)))
}

/// Writes a file that is on the disk, and not in memory only, when this returns.
fn write_synced(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(contents)?;
    file.sync_all()
}

/// Brings the names in a folder to the disk: without that, a power failure may undo a rename.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // Some file systems keep their names in order without being asked, and refuse to be; some folders may be written and not read.
        Err(error) if matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported) => Ok(()),
        synced => synced,
    }
}

/// Elsewhere a folder cannot be opened to that end.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// The folder that something is in.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Gives a file or folder another name. A folder of that name which is not empty is kept, and what is in the other is moved into it.
fn move_into(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() && to.is_dir() && fs::remove_dir(to).is_err() {
        for entry in fs::read_dir(from)?.collect::<io::Result<Vec<_>>>()? {
            move_into(&entry.path(), &to.join(entry.file_name()))?;
        }
        sync_folder(to)?;
        return fs::remove_dir(from);
    }
    fs::rename(from, to)
}

/// Whether something was not written since there was no room for it.
fn is_full(error: &Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    kinds.into_iter().any(|kind| matches!(kind, QuotaExceeded | StorageFull))
}

/// The temporary name of something: hidden, and in the same folder, so that renaming it is one step.
fn partial(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.partial"))
}

/// What to do about a path that cannot be written.
pub fn unwritable(path: &Path) -> String {
    format!("`{}` cannot be written; {SPACE}", path.display())
}

const SPACE: &str = "check its permissions and the space left, or choose another `--output`";
