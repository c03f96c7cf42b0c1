//! The log of a sweep, `metrics.jsonl`: an event in each line, added while the sweep trains.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use loralab_experiment::{Bytes, Cell, Event, Logged, RunResult, Summary};
use serde::de::DeserializeOwned;

use crate::{results::METRICS, terminal::note};

/// Most bytes of a line of a log; a cohort's line names all its runs.
pub const LONGEST_LINE: u64 = 64 << 20;

/// Seconds since 1970-01-01 UTC, to the millisecond.
pub fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as f64 / 1e3
}

/// An event of now.
pub fn timed(event: Event) -> Logged {
    Logged { event, time: Some(now()) }
}

/// The log of a sweep in training.
#[derive(Debug)]
pub struct Log {
    file: File,
    /// Bytes of whole lines.
    length: u64,
    /// Lines not written yet.
    owed: String,
}

impl Log {
    /// A log of `length` bytes at `path`, of which the file has that many or more; 0 for a new one.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn open(path: &Path, length: u64) -> io::Result<Self> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        // A file that is shorter has lost lines of runs that are trained again.
        let length = length.min(file.metadata()?.len());
        file.set_len(length)?;
        file.seek(SeekFrom::Start(length))?;
        Ok(Self { file, length, owed: String::new() })
    }

    /// Bytes of whole lines.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Adds a line. If it cannot be written and `is_owed`, it is stored and written before the next line.
    ///
    /// # Errors
    /// If it, or a stored line, cannot be written.
    pub fn add(&mut self, line: &str, is_owed: bool) -> io::Result<()> {
        let before = self.owed.len();
        self.owed += line;
        self.owed.push('\n');
        // One write for all lines, so that a killed process leaves whole lines.
        let written = self.file.write_all(self.owed.as_bytes());
        if written.is_ok() {
            self.length += self.owed.len() as u64;
            self.owed.clear();
        } else {
            // Removes the part of a line that a full disk leaves.
            let _ = self.file.set_len(self.length).and_then(|()| self.file.seek(SeekFrom::Start(self.length)));
            self.owed.truncate(if is_owed { self.owed.len() } else { before });
        }
        written
    }

    /// Syncs the log to the disk.
    ///
    /// # Errors
    /// If that fails.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

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

/// Reads from a folder's log the events of each scheme's runs at its best learning rate; not all, since a large sweep's events may exceed memory. An
/// incomplete last line, as a killed process may leave it, is reported and skipped.
///
/// # Errors
/// If the log cannot be read or is no file, or another line of it is no event.
pub fn best_events(folder: &Path, summary: &Summary) -> Result<Vec<Event>> {
    let is_best = |cell: &Cell| {
        let of_cell = |best: &f64| *best == cell.learning_rate;
        summary
            .schemes
            .iter()
            .any(|row| row.scheme == cell.scheme && row.best_learning_rate.as_ref().is_some_and(of_cell))
    };
    let mut events = Vec::new();
    read(
        &folder.join(METRICS),
        u64::MAX,
        |_| true,
        |_, event: Event| {
            if event.cell().is_some_and(is_best) {
                events.push(event);
            }
        },
    )?;
    Ok(events)
}

/// Calls `on_event` with every event of a log and its time.
///
/// # Errors
/// If the log cannot be read, or a line is no event.
pub fn replay(path: &Path, mut on_event: impl FnMut(&Logged)) -> Result<()> {
    read(path, u64::MAX, |_| true, |_, logged: Logged| on_event(&logged))
}

/// A log as far as it is continued.
#[derive(Debug, Default)]
pub struct Past {
    /// Validation loss and accuracy of the base, if they were logged.
    pub base: Option<(Option<f64>, Option<f64>)>,
    /// The results of the runs that have ended, in the log's order.
    pub runs: Vec<RunResult>,
    /// The last line, if it says that the sweep is complete.
    pub complete: Option<Complete>,
}

/// The end of a sweep that is complete.
#[derive(Debug)]
pub struct Complete {
    /// Bytes before its line.
    pub log: u64,
    /// Seconds of work until then.
    pub seconds: f64,
    /// The runs whose adapters could not be written, by name.
    pub unwritten: Vec<String>,
}

impl Past {
    /// Reads the first `length` bytes of a log.
    ///
    /// # Errors
    /// If they cannot be read, or a line is no event.
    pub fn read(path: &Path, length: u64) -> Result<Self> {
        let mut past = Self::default();
        // Those of steps may be very many, and are not needed.
        let is_wanted = |line: &[u8]| !line.starts_with(b"{\"event\":\"step\"");
        read(path, length, is_wanted, |start, event: Event| {
            past.complete = None;
            match event {
                Event::Base { loss, accuracy, .. } => past.base = Some((loss, accuracy)),
                Event::RunFinished { result } if result.is_over() => past.runs.push(result),
                Event::Finished { complete: true, seconds, unwritten } => {
                    past.complete = Some(Complete { log: start, seconds, unwritten });
                }
                _ => {}
            }
        })?;
        Ok(past)
    }
}

/// The first `length` bytes of a log without the events of the runs that `is_forgotten` knows by name.
///
/// # Errors
/// If they cannot be read.
pub fn without(path: &Path, length: u64, is_forgotten: impl Fn(&str) -> bool) -> Result<Vec<u8>> {
    let mut kept = Vec::new();
    for line in BufReader::new(File::open(path)?.take(length)).split(b'\n') {
        let mut line = line?;
        let event = serde_json::from_slice::<Event>(&line).ok();
        if !event.as_ref().and_then(Event::cell).is_some_and(|cell| is_forgotten(&cell.id())) {
            line.push(b'\n');
            kept.extend(line);
        }
    }
    Ok(kept)
}

/// Calls `on_event` with each event whose line is wanted of the first `length` bytes of a log, and the number of bytes before its line.
fn read<E: DeserializeOwned>(
    path: &Path,
    length: u64,
    is_wanted: impl Fn(&[u8]) -> bool,
    mut on_event: impl FnMut(u64, E),
) -> Result<()> {
    let unread = || format!("the log `{}` cannot be read", path.display());
    check_file(path)?;
    let mut log = BufReader::new(File::open(path).with_context(unread)?.take(length));
    let (mut line, mut number, mut start) = (Vec::new(), 0, 0);
    while (&mut log).take(LONGEST_LINE + 1).read_until(b'\n', &mut line).with_context(unread)? > 0 {
        number += 1;
        if line.len() as u64 > LONGEST_LINE {
            bail!(
                "line {number} of `{}` is longer than {}, so it is no event of a sweep",
                path.display(),
                Bytes(LONGEST_LINE)
            );
        }
        if !is_wanted(&line) {
            start += line.len() as u64;
            line.clear();
            continue;
        }
        match serde_json::from_slice(&line) {
            Ok(event) => on_event(start, event),
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
        start += line.len() as u64;
        line.clear();
    }
    Ok(())
}
