//! `--resume FOLDER`: the command line that a folder's results were begun with, to continue it.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Error, Result, anyhow, bail};
use loralab_core::lab::Snapshot;
use loralab_experiment::{Cell, Experiment, Resolved};
use serde::{Deserialize, Serialize};

use crate::{
    args::{self, Command, Shard, Typed},
    auto_resume,
    durable::write_whole,
    failure::usage,
    results::{COMMAND, EXPERIMENT, NEW, Results},
    source,
    terminal::quoted,
};

/// Flags that no result depends on.
pub const ALLOWED: [&str; 9] =
    ["budget", "cohort", "json", "log", "memory", "quiet", "resume", "save-every", "threads"];

/// Flags that name more runs of a sweep.
const GRID: [&str; 4] = ["learning-rates", "schemes", "seed", "seeds"];

/// Commands without such a grid.
const SINGLE: [&str; 5] = ["exponents", "pretrain", "toy", "train", "tune"];

/// The command that began a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Begun {
    /// The version of loralab.
    pub version: String,
    /// The folder in which it was typed; its paths are relative to it.
    pub directory: PathBuf,
    /// The command line.
    #[serde(flatten)]
    pub typed: Typed,
}

/// The command to run, and the one that its results are begun with: that which was typed, or, with `--resume`, that of the folder.
///
/// # Errors
/// If the folder cannot be continued, or a flag would change its results.
pub fn command() -> Result<(Command, Begun)> {
    let (command, typed) = args::parse();
    let (command, typed) = auto_resume::decided(command, typed)?;
    let Some(folder) = typed.flags.get("resume").cloned().flatten() else { return Ok((command, Begun::now(typed))) };
    let output = std::path::absolute(&folder)?;
    let mut begun = Begun::read(&output, &folder)?;
    if begun.typed.command != typed.command {
        let began = begun.typed.command.join(" ");
        return Err(usage(format_args!(
            "`{folder}` was begun by `loralab {began}`; continue it by `loralab {began} --resume {folder}`"
        )));
    }
    let grows = !typed.command.iter().any(|word| SINGLE.contains(&word.as_str()));
    let allowed = |flag: &&String| ALLOWED.contains(&flag.as_str()) || grows && GRID.contains(&flag.as_str());
    if let Some(flag) = typed.flags.keys().find(|flag| !allowed(flag)) {
        return Err(usage(format_args!(
            "`--{flag}` may change the results, and `--resume` takes them on with the settings that `{folder}` was begun with; leave it away"
        )));
    }
    let rates = |typed: &Typed| typed.flags.get("learning-rates").cloned().flatten();
    let searches = |typed: &Typed| rates(typed).as_deref() == Some("auto");
    if rates(&typed).is_some() && searches(&typed) != searches(&begun.typed) {
        return Err(usage(format_args!(
            "`{folder}` was begun {} `--learning-rates auto`, which chooses the rates by what was found, so lists do not go on with it, nor it with lists; \
             leave `--learning-rates` away",
            if searches(&begun.typed) { "with" } else { "without" }
        )));
    }
    let flags = &mut begun.typed.flags;
    for (one, other) in [("seed", "seeds"), ("seeds", "seed")] {
        if typed.flags.contains_key(one) {
            flags.remove(other);
        }
    }
    flags.extend(typed.flags);
    flags.remove("overwrite");
    let path = Some(output.to_string_lossy().into_owned());
    flags.extend(["output", "resume"].map(|flag| (flag.to_owned(), path.clone())));
    // Elsewhere, as on another machine, paths are relative to where the command is typed.
    if begun.directory.is_dir() {
        env::set_current_dir(&begun.directory)?;
    }
    let command = args::parse_again(&begun.typed);
    begun.typed.flags.remove("resume");
    Ok((command, begun))
}

/// The experiment with the schemes, rates and seeds of the results in a folder beside its own.
///
/// # Errors
/// If another setting is not what it was.
pub fn widened(experiment: &Resolved, folder: &Path, searches: bool) -> Result<Resolved> {
    let file = [folder.join(NEW), folder.to_owned()].map(|place| place.join(EXPERIMENT));
    let Some(file) = file.into_iter().find(|file| file.is_file()) else { return Ok(experiment.clone()) };
    let before = source::experiment(Experiment::default(), Some(&file), Experiment::default())?;
    let mut all = experiment.clone();
    let new = all.schemes.iter().filter(|scheme| !before.schemes.contains(scheme));
    all.schemes = before.schemes.iter().chain(new).cloned().collect();
    let new = all.seeds.iter().filter(|seed| !before.seeds.contains(seed));
    all.seeds = before.seeds.iter().chain(new).copied().collect();
    if !searches {
        all.learning_rates
            .extend(before.learning_rates.iter().filter(|rate| !experiment.learning_rates.contains(rate)));
        all.learning_rates.sort_by(f64::total_cmp);
    }
    let (was, is) = (settings_text(&before, &all), settings_text(&all, &all));
    if let Some((was, is)) = was.lines().zip(is.lines()).find(|(was, is)| was != is) {
        bail!(
            "the command of `{}` gives `{is}` now, but its results were begun with `{was}`; give what they were begun with, or begin anew, without `--resume`",
            folder.display()
        );
    }
    Ok(all)
}

/// The settings as a text, with the grid and the machine of another experiment: equal for the parts of one sweep.
pub fn settings_text(resolved: &Resolved, all: &Resolved) -> String {
    let Resolved { schemes, learning_rates, seeds, .. } = all.clone();
    // Early stopping compares the runs of a cohort.
    let packed = if all.stop_early { resolved } else { all };
    let (cohort, memory, threads) = (packed.cohort, packed.memory, all.threads);
    Resolved { schemes, learning_rates, seeds, cohort, memory, threads, ..resolved.clone() }.to_experiment().to_toml()
}

impl Begun {
    /// The same command for another part of the grid.
    pub fn again(&self, shard: Shard, output: &Path) -> String {
        let mut typed = self.typed.clone();
        let flags = [("shard", shard.to_string()), ("output", output.display().to_string())];
        typed.flags.extend(flags.map(|(flag, value)| (flag.to_owned(), Some(value))));
        typed.words().iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }

    fn now(typed: Typed) -> Self {
        let directory = env::current_dir().unwrap_or_default();
        Self { version: env!("CARGO_PKG_VERSION").to_owned(), directory, typed }
    }

    /// The command line that continues a result.
    pub fn continuing(&self, output: &Path) -> String {
        format!("loralab {} --resume {}", self.typed.command.join(" "), quoted(&output.display().to_string()))
    }

    /// Reads that of a result, which was given by this name.
    ///
    /// # Errors
    /// If there is none, or it is of another version.
    pub fn read(output: &Path, name: &str) -> Result<Self> {
        let file = file_of(output);
        let Ok(text) = fs::read(&file) else {
            return Err(usage(format_args!(
                "`--resume {name}`: `{}`, which tells how a training was begun, is not there; begin anew, without `--resume`",
                file.display()
            )));
        };
        let begun: Self = serde_json::from_slice(&text)
            .with_context(|| format!("`{}` cannot be read; begin anew, without `--resume`", file.display()))?;
        if begun.version != env!("CARGO_PKG_VERSION") {
            bail!(
                "the results in `{name}` are of version {} of loralab, and this is {}, which may compute other bits; continue with that version, or begin \
                 anew, without `--resume`",
                begun.version,
                env!("CARGO_PKG_VERSION")
            );
        }
        Ok(begun)
    }

    /// Writes it for a result: a folder's own file, or a file beside the result.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        write_whole(file, format!("{}\n", serde_json::to_string_pretty(self)?).as_bytes())
    }
}

/// The file of the command of a result: in its folder, in the folder of results that are to replace earlier ones, or beside a result that is a file.
pub fn file_of(output: &Path) -> PathBuf {
    let new = output.join(NEW).join(COMMAND);
    if new.is_file() {
        return new;
    }
    if output.is_dir() { output.join(COMMAND) } else { beside(output) }
}

/// The file of the command of a result that is one file.
pub fn beside(output: &Path) -> PathBuf {
    let name = output.file_name().unwrap_or_default().to_string_lossy();
    output.with_file_name(format!("{name}.{COMMAND}"))
}

/// The cohort of a saved state, with its snapshot; none if the state is between two cohorts.
///
/// # Errors
/// If the bytes are no snapshot.
pub fn under_way(bytes: &[u8], results: &Results) -> Result<Option<(Vec<Cell>, Snapshot)>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let read = || format!("the state in `{}` cannot be continued", results.folder().display());
    let snapshot = Snapshot::from_bytes(bytes).with_context(read)?;
    // Those that could not start are in the log.
    let cells = snapshot.running.iter().map(|run| run.cell.clone()).collect();
    Ok(Some((cells, Snapshot { cohort: 0, ..snapshot })))
}

/// The error if the base's validation loss is not what it was.
pub fn other_base(before: Option<f64>, now: Option<f64>) -> Error {
    let text = |loss: Option<f64>| loss.map_or_else(|| "not finite".to_owned(), |loss| format!("{loss:?}"));
    anyhow!(
        "the loss of the base alone was {} when these results were begun, and is {} now: the base, the held-out data or the device are others; continue with \
         those of the beginning, or begin anew, without `--resume`",
        text(before),
        text(now)
    )
}
