//! Earlier results in a folder: the files that loralab wrote. All other files belong to someone else and stay.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File},
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use loralab_experiment::{Cell, Event, Experiment};

use crate::{
    results::{ADAPTER_FILES, ADAPTERS, BEST, EXPERIMENT, FILES, METRICS, SUMMARY},
    source,
    trackers::tensorboard::{EVENTS, TENSORBOARD},
};

/// The files and folders that loralab wrote into a folder.
#[derive(Debug, Default)]
pub struct Earlier {
    /// The summary first, so that results that are half removed don't look complete.
    files: Vec<PathBuf>,
    /// The folders of these files, innermost first, without the results folder itself.
    folders: Vec<PathBuf>,
}

impl Earlier {
    /// Finds the files of earlier results in a folder.
    pub fn of(folder: &Path) -> Self {
        let mut found = Self::default();
        found.look(folder);
        found
    }

    /// True if loralab wrote nothing there.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Removes these files, and their folders if those are empty then.
    ///
    /// # Errors
    /// If a file cannot be removed.
    pub fn remove(&self) -> io::Result<()> {
        self.files.iter().try_for_each(fs::remove_file)?;
        for folder in &self.folders {
            // A folder that holds other files stays.
            let _ = fs::remove_dir(folder);
        }
        Ok(())
    }

    fn look(&mut self, folder: &Path) {
        let others: BTreeSet<&str> = FILES.iter().chain(&loralab_report::FILES).copied().collect();
        self.take(folder, [SUMMARY].into_iter().chain(others.into_iter().filter(|name| *name != SUMMARY)));
        let [adapters, tensorboard] = [ADAPTERS, TENSORBOARD].map(|name| folder.join(name));
        let has_runs = adapters.is_dir() || tensorboard.is_dir();
        let own: BTreeSet<String> = if has_runs { ids(folder) } else { BTreeSet::new() };
        for of_run in entries(&adapters).filter(|path| own.contains(name(path))) {
            let best = [of_run.join(BEST), of_run.join(format!(".{BEST}.partial"))];
            for folder in best.into_iter().filter(|folder| folder.is_dir()).chain([of_run]) {
                self.take(&folder, ADAPTER_FILES.into_iter());
                self.folders.push(folder);
            }
        }
        for of_run in entries(&tensorboard).filter(|path| own.contains(name(path))) {
            self.take(&of_run, [EVENTS].into_iter());
            self.folders.push(of_run);
        }
        self.folders.extend([adapters, tensorboard].into_iter().filter(|folder| folder.is_dir()));
        // `reproduce transformer` has a base and a sweep for each width, and a sweep on the shipped base.
        for path in entries(folder).filter(|path| is_of_a_width(name(path))) {
            if path.is_file() {
                self.files.push(path);
            } else if !path.is_symlink() {
                self.look(&path);
                self.folders.push(path);
            }
        }
    }

    /// Adds the files of these names in a folder, and their partial versions that an interrupted write left.
    fn take<'a>(&mut self, folder: &Path, names: impl Iterator<Item = &'a str>) {
        let both = names.flat_map(|name| [folder.join(name), folder.join(format!(".{name}.partial"))]);
        self.files.extend(both.filter(|path| path.is_file() || path.is_symlink()));
    }
}

fn name(path: &Path) -> &str {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    name.strip_prefix('.').and_then(|name| name.strip_suffix(".partial")).unwrap_or(name)
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// True for `width-32`, `width-32.safetensors`, `shipped`.
fn is_of_a_width(name: &str) -> bool {
    let width = name.strip_prefix("width-").map(|rest| rest.strip_suffix(".safetensors").unwrap_or(rest));
    name == "shipped" || width.is_some_and(|width| width.parse::<usize>().is_ok())
}

/// The names of the folder's runs: those in its experiment and those in its log, since either file may have been changed or removed.
fn ids(folder: &Path) -> BTreeSet<String> {
    let experiment = folder.join(EXPERIMENT);
    // Reading a pipe might never end.
    let is_file = |path: &PathBuf| path.is_file();
    let experiment = Some(experiment).filter(is_file);
    let listed = source::experiment(Experiment::default(), experiment.as_deref(), Experiment::default());
    let listed = listed.map_or_else(|_| vec![], |experiment| experiment.cells());
    let log = Some(folder.join(METRICS)).filter(is_file).and_then(|log| File::open(log).ok());
    let lines = log.map(|log| BufReader::new(log).lines());
    // Every run is named when its cohort begins; other lines need not be read as JSON.
    let begins = lines.into_iter().flatten().map_while(Result::ok).filter(|line| line.contains("\"cohort_started\""));
    let logged = begins.filter_map(|line| match serde_json::from_str(&line) {
        Ok(Event::CohortStarted { cells, .. }) => Some(cells),
        _ => None,
    });
    listed.iter().map(Cell::id).chain(logged.flatten().map(|cell| cell.id())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_a_width_are_known_by_their_names() {
        for name in ["width-32", "width-1024.safetensors", "shipped"] {
            assert!(is_of_a_width(name), "{name}");
        }
        for name in ["width-", "width-32.txt", "width-mine", "widths", "base.safetensors"] {
            assert!(!is_of_a_width(name), "{name}");
        }
    }
}
