//! The errors of an experiment, as sentences.

use crate::config::keys::Key;
use crate::config::table::KEYS;

/// The reasons to refuse an experiment. Each message says what was found, where, what was needed and what to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ExperimentError {
    /// The text is not TOML.
    #[error("line {line} is not valid TOML: {message}. Settings are written `name = value`, one to a line.")]
    Syntax {
        /// Line number, from 1.
        line: usize,
        /// The TOML reader's message.
        message: String,
    },
    /// A setting nobody knows.
    #[error("{}there is no setting `{key}`. {}", place(*.line), instead(*.nearest))]
    UnknownKey {
        /// The name that was written.
        key: String,
        /// Line number from 1, when the setting came from a file.
        line: Option<usize>,
        /// The setting that was probably meant.
        nearest: Option<&'static str>,
    },
    /// A known setting with a value of the wrong type or out of its range.
    #[error("{}`{}` is {found}, but it must be {}; for example `{}`.", place(*.line), .key.name, .key.needs, .key.example)]
    Value {
        /// The setting.
        key: &'static Key,
        /// Line number from 1, when the value came from a file.
        line: Option<usize>,
        /// The value as it was written.
        found: String,
    },
    /// A name that is not in the list it must be from.
    #[error("`{key}` has \"{found}\", which is unknown. {}The known names are {}.", meant(.nearest.as_deref()), .known.join(", "))]
    UnknownName {
        /// The setting.
        key: &'static str,
        /// The name that was written.
        found: String,
        /// The name that was probably meant.
        nearest: Option<String>,
        /// Every name that would do.
        known: Vec<String>,
    },
    /// The same value twice in a list whose values make the grid.
    #[error("`{key}` has {found} twice, which would be the same run twice. Remove one of them.")]
    Twice {
        /// The setting.
        key: &'static str,
        /// The repeated value.
        found: String,
    },
    /// A list without an entry: the grid would have no cell.
    #[error("`{}` is empty, so there is nothing to run. Give at least one; for example `{}`.", .key.name, .key.example)]
    Empty {
        /// The setting.
        key: &'static Key,
    },
    /// More runs than anyone means.
    #[error(
        "the grid has {cells} runs ({schemes} schemes × {learning_rates} learning rates × {seeds} seeds), but at most {limit} are allowed. Shorten `schemes`, `learning_rates` or `seeds`."
    )]
    GridTooLarge {
        /// Number of runs asked for.
        cells: u128,
        /// Number of schemes.
        schemes: usize,
        /// Number of learning rates.
        learning_rates: usize,
        /// Number of seeds.
        seeds: u64,
        /// Largest number of runs.
        limit: u64,
    },
    /// Two settings that cannot both hold.
    #[error("{first} and {second}, but {why}. {remedy}")]
    Clash {
        /// The first setting and its value.
        first: String,
        /// The second setting and its value.
        second: String,
        /// The reason why both cannot be set.
        why: &'static str,
        /// A remedy.
        remedy: String,
    },
}

fn place(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!("line {line}: "))
}

fn instead(nearest: Option<&str>) -> String {
    match nearest {
        Some(name) => format!("Did you mean `{name}`?"),
        None => format!("The settings are {}.", KEYS.map(|key| key.name).join(", ")),
    }
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("Did you mean \"{name}\"? "))
}
