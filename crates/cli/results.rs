//! The results folder.
//!
//! Every file is written under a temporary name, synced to the disk and then renamed, so a file under its final name is complete, even after a power
//! failure. Only `metrics.jsonl` grows during the sweep, by whole lines. Earlier results stay until the first new result is complete; until then new
//! results are written to a temporary folder in the results folder.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    mem,
    path::{Path, PathBuf},
};

use anyhow::{Context, Error, Result, anyhow, bail};
use loralab_core::lora::peft::Adapter;
use loralab_experiment::{Bytes, Cell, Event, Summary};
pub use loralab_figure::results::*;

use crate::{earlier::Earlier, failure::usage, lock::Lock, saved, terminal::note, tiles::TILES};

/// The choices of a search for learning rates, each with its reason.
pub const SEARCH: &str = "search.json";
/// The report, one page.
pub const REPORT: &str = "report.html";
/// The base that an adapter belongs to, if it differs from the base that the start was computed for.
pub const BASE: &str = "base.safetensors";

/// All files of results, without those of a report, of adapters and of the sweeps of a reproduction.
pub const FILES: [&str; 8] =
    [METRICS, EXPERIMENT, SUMMARY, SEARCH, LOSS_BY_LEARNING_RATE, TRAINING_CURVES, REPORT, TILES];
/// The files of an adapter.
pub const ADAPTER_FILES: [&str; 3] = [ADAPTER_CONFIG, ADAPTER_TENSORS, BASE];

/// A remedy for a folder that holds results; follows the advice to choose another folder.
pub const OVERWRITE: &str = ", or replace its results with `--overwrite`";

/// The lock file of a results folder; its writer holds the lock.
const LOCK: &str = ".lock";
/// The folder of new results, until the first is complete and they replace the earlier ones.
const NEW: &str = ".new.partial";

/// A results folder, locked by this process.
#[derive(Debug)]
pub struct Results {
    folder: PathBuf,
    /// The current place of the results: the folder, or [`NEW`] in it if it holds earlier results.
    place: PathBuf,
    earlier: Earlier,
    log: Option<Log>,
    /// The runs whose adapters are written, by name.
    adapters: Vec<String>,
    /// The runs whose adapters could not be written, by name.
    unwritten: Vec<String>,
    /// The error of the first of them.
    failure: Option<Error>,
    _lock: Lock,
}

/// The log.
#[derive(Debug)]
struct Log {
    file: File,
    /// Bytes of whole lines.
    length: u64,
    /// Lines not written yet.
    owed: String,
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

    /// Creates and locks the folder. Its contents stay unchanged; a created folder is removed again if nothing is written to it.
    ///
    /// # Errors
    /// If it holds files that may not be overwritten, another process writes there, or it is not writable.
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

    /// Creates the log of a sweep and the folder of its adapters.
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
        let before = log.owed.len();
        log.owed += line;
        log.owed.push('\n');
        // One write for all lines, so that a killed process leaves whole lines.
        let written = log.file.write_all(log.owed.as_bytes());
        if written.is_ok() {
            log.length += log.owed.len() as u64;
            log.owed.clear();
        } else {
            // Removes the part of a line that a full disk leaves.
            let _ = log.file.set_len(log.length).and_then(|()| log.file.seek(SeekFrom::Start(log.length)));
            log.owed.truncate(if is_owed { log.owed.len() } else { before });
        }
        written.with_context(|| unwritable(&self.folder.join(METRICS)))
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
        let synced = log.file.sync_data().and_then(|()| sync_folder(&self.place.join(ADAPTERS)));
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
        if self.keeps_earlier() {
            self.log = None;
            let _ = fs::remove_dir_all(&self.place);
        }
    }
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

/// Most bytes of a line of a log; a cohort's line names all its runs.
const LONGEST_LINE: u64 = 64 << 20;

/// Refuses a path that is no file, such as a pipe, which might be read without end.
///
/// # Errors
/// If the path exists and is no file.
pub fn check_file(path: &Path) -> Result<()> {
    if path.exists() && !path.is_file() {
        bail!("`{}` is a folder, a pipe or a device, but results are read from files only", path.display());
    }
    Ok(())
}

/// Reads from the log the events of each scheme's runs at its best learning rate; not all, since a large sweep's events
/// may exceed memory. An incomplete last line, as a killed process may leave it, is reported and skipped.
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

/// Writes a folder under a temporary name beside it and renames it, so that it appears with all of its files or not at all. An existing folder keeps
/// its other files.
///
/// # Errors
/// If it cannot be written.
pub fn write_folder(folder: &Path, files: &[(&str, &[u8])]) -> Result<()> {
    fill_folder(folder, |partial| write_all(partial, files))
}

/// Like [`write_folder`], for files that are too large to be held: `fill` writes them into the folder that it gets, which then takes its place.
///
/// # Errors
/// If that fails; nothing is left of it then.
pub fn fill_folder(folder: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let filled = put_folder(folder, fill).and_then(|()| Ok(sync_folder(parent(folder))?));
    filled.map_err(|error| if error.is::<io::Error>() { error.context(unwritable(folder)) } else { error })
}

fn write_all(folder: &Path, files: &[(&str, &[u8])]) -> Result<()> {
    files.iter().try_for_each(|(name, contents)| Ok(write_synced(&folder.join(name), contents)?))
}

/// Like [`fill_folder`], without syncing the folder's name; a sync of its parent does that.
fn put_folder(folder: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let partial = partial(folder);
    let write = || -> Result<()> {
        // A killed process may have left one.
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        fs::create_dir_all(&partial)?;
        fill(&partial)?;
        sync_folder(&partial)?;
        Ok(move_into(&partial, folder)?)
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

/// Writes a file and syncs it to the disk.
fn write_synced(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(contents)?;
    file.sync_all()
}

/// Syncs the names in a folder to the disk; without that, a power failure may undo a rename.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // Some file systems sync names by themselves and refuse the call; some folders are writable but not readable.
        Err(error) if matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported) => Ok(()),
        synced => synced,
    }
}

/// Does nothing: other systems cannot open a folder for that.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// The parent folder of a path.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Renames a file or folder. If `to` is a folder that is not empty, the contents of `from` are moved into it.
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

/// True if a write failed because the disk or quota is full.
fn is_full(error: &Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    kinds.into_iter().any(|kind| matches!(kind, QuotaExceeded | StorageFull))
}

/// The temporary name of a path: hidden, and in the same folder, so that the rename is atomic.
fn partial(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.partial"))
}

/// The message for a path that cannot be written, with a remedy.
pub fn unwritable(path: &Path) -> String {
    format!("`{}` cannot be written; {SPACE}", path.display())
}

const SPACE: &str = "check its permissions and the space left, or choose another `--output`";
