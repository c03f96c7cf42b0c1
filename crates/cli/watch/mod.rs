//! `loralab watch`: shows a sweep in training, on this machine or copied from another one, by what its log says.

mod plot;
mod screen;
mod standing;
mod tail;

use std::{
    env,
    fs::File,
    io::ErrorKind,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use console::Term;
use loralab_experiment::Logged;

use crate::{
    args::WatchArguments,
    failure::usage,
    log::{check_file, now},
    results::{METRICS, NEW},
    terminal::print,
    tune::COMPARISON,
};
use screen::Screen;
use standing::Standing;
use tail::Tail;

/// The size that is assumed where there is no terminal.
const SIZE: (u16, u16) = (u16::MAX, 80);

/// Shows the sweep until it ends; once, where there is no terminal.
pub fn watch(arguments: &WatchArguments) -> Result<()> {
    let mut sweeps = arguments.folders.iter().map(|folder| Watched::new(folder)).collect::<Result<Vec<_>>>()?;
    let terminal = Term::buffered_stdout();
    if arguments.once || !terminal.is_term() {
        sweeps.iter_mut().try_for_each(Watched::read)?;
        if sweeps.iter().all(|sweep| !sweep.has_log) {
            return Err(usage(format_args!("{}, so no sweep has begun there", none(&sweeps))));
        }
        let columns = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(SIZE.1);
        return Ok(print(lines(&sweeps, SIZE.0, columns).join("\n"))?);
    }
    let pause = Duration::try_from_secs_f64(arguments.every).unwrap_or(Duration::MAX);
    let mut shown = 0;
    loop {
        sweeps.iter_mut().try_for_each(Watched::read)?;
        let (rows, columns) = terminal.size();
        // The cursor stands in the line below.
        let lines = lines(&sweeps, rows.saturating_sub(1), columns);
        terminal.clear_last_lines(shown)?;
        lines.iter().try_for_each(|line| terminal.write_line(line))?;
        terminal.flush()?;
        shown = lines.len();
        if sweeps.iter().all(|sweep| sweep.standing.finished.is_some()) {
            return Ok(());
        }
        thread::sleep(pause);
    }
}

fn lines(sweeps: &[Watched], rows: u16, columns: u16) -> Vec<String> {
    let begun: Vec<&Standing> =
        sweeps.iter().map(|sweep| &sweep.standing).filter(|standing| standing.has_begun()).collect();
    let mut lines =
        if begun.is_empty() { vec![] } else { Screen::new(&begun).lines(now(), rows.into(), columns.into()) };
    if begun.len() < sweeps.len() {
        lines.insert(0, format!("Waiting: {}", none(sweeps)));
        lines.truncate(rows.into());
    }
    lines
}

/// `results` has no event
fn none(sweeps: &[Watched]) -> String {
    let waiting = sweeps.iter().filter(|sweep| !sweep.standing.has_begun());
    let names: Vec<String> = waiting.map(|sweep| format!("`{}`", sweep.folder.display())).collect();
    let has = if names.len() == 1 { "has" } else { "have" };
    format!("{} {has} no event in `{METRICS}`", names.join(", "))
}

/// A folder, and what is read of its log.
struct Watched {
    folder: PathBuf,
    tail: Tail,
    standing: Standing,
    has_log: bool,
}

impl Watched {
    fn new(folder: &Path) -> Result<Self> {
        if !folder.is_dir() {
            return Err(usage(format_args!(
                "there is no folder `{}`; name the results folder of a sweep",
                folder.display()
            )));
        }
        let (tail, standing) = (Tail::default(), Standing::default());
        // A tuning's sweep is in a folder of its own.
        let comparison = folder.join(COMPARISON);
        let folder = if comparison.is_dir() { comparison } else { folder.to_owned() };
        Ok(Self { folder, tail, standing, has_log: false })
    }

    /// Reads what is new in the log; all of it if it is another one.
    ///
    /// # Errors
    /// If it cannot be read, or a line is no event.
    fn read(&mut self) -> Result<()> {
        let new = self.folder.join(NEW);
        let path = if new.is_dir() { new } else { self.folder.clone() }.join(METRICS);
        let unread = || format!("the log `{}` cannot be read", path.display());
        check_file(&path)?;
        let mut file = match File::open(&path) {
            Ok(file) => file,
            // Results that replace earlier ones are on the move, or a copy is replaced.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).with_context(unread),
        };
        self.has_log = true;
        if !self.tail.fits(&mut file).with_context(unread)? {
            (self.tail, self.standing) = Default::default();
        }
        let standing = &mut self.standing;
        self.tail.read(&mut file, &path, |number, line| {
            // Long, and not shown.
            if line.starts_with(b"{\"event\":\"diagnosis\"") {
                return Ok(());
            }
            match serde_json::from_slice::<Logged>(line) {
                Ok(logged) => standing.take(logged),
                Err(error) => bail!("line {number} of `{}` is no event of a sweep ({error})", path.display()),
            }
            Ok(())
        })
    }
}
