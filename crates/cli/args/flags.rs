//! Flags as people type them: names that other tools have given them, and what was meant by an unknown one.

use clap::{
    Command,
    error::{ContextKind, ContextValue, ErrorKind},
};
use loralab_experiment::{FLAGS, nearest, nearest_key};

/// Other names of flags that are no settings, wherever a command has the flag.
const NAMES: [(&str, &[&str]); 4] = [
    ("learning-rate", &["lr"]),
    ("epochs", &["num-train-epochs"]),
    ("output", &["output-dir"]),
    ("log", &["report-to"]),
];

/// Other names of a flag: those that its setting has in every command.
fn other_names(flag: &str) -> &'static [&'static str] {
    let of_setting = FLAGS.iter().find(|known| known.setting == flag.replace('-', "_")).map(|known| known.names);
    let named = || NAMES.iter().find(|(known, _)| *known == flag).map(|(_, names)| *names);
    of_setting.or_else(named).unwrap_or_default()
}

/// The command line with every flag under all its names.
pub fn named(command: Command) -> Command {
    let command = command.mut_args(|argument| {
        // A command may have given the flag its other names itself.
        let named = argument.get_all_aliases().is_some_and(|names| !names.is_empty());
        let names = argument.get_long().filter(|_| !named).map(other_names).unwrap_or_default();
        let argument = argument.visible_aliases(names);
        let argument = if argument.get_long() == Some("output") { argument.short('o') } else { argument };
        // A negative number is a wrong value with a sentence of its own, not an unknown flag.
        if argument.get_action().takes_values() { argument.allow_negative_numbers(true) } else { argument }
    });
    command.mut_subcommands(named)
}

/// The error with a tip that is meant: of an unknown flag the one that others call so, or one that is spelt much like it, or none.
pub fn with_tip(error: clap::Error, command: &Command, typed: impl Iterator<Item = String>) -> clap::Error {
    let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidArg) else { return error };
    if error.kind() == ErrorKind::ArgumentConflict
        && error.get(ContextKind::PriorArg) == error.get(ContextKind::InvalidArg)
    {
        let mut better = error;
        better.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec!["give it once, with the value that is meant".into()]),
        );
        return better;
    }
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let mut asked = command;
    for word in typed {
        asked = asked.find_subcommand(&word).unwrap_or(asked);
    }
    let tip = meant(unknown, asked);
    let mut better = clap::Error::new(error.kind()).with_cmd(asked);
    for (kind, value) in error.context().filter(|(kind, _)| *kind != ContextKind::SuggestedArg) {
        better.insert(kind, value.clone());
    }
    if let Some(tip) = tip {
        better.insert(ContextKind::SuggestedArg, ContextValue::String(tip));
    }
    better
}

/// The flag of a command that was probably meant.
fn meant(unknown: &str, command: &Command) -> Option<String> {
    let written = unknown.trim_start_matches('-');
    let written = written.split('=').next().unwrap_or(written);
    let names =
        || command.get_arguments().flat_map(|argument| argument.get_long_and_visible_aliases().unwrap_or_default());
    let has = |name: &str| names().any(|known| known == name);
    let familiar = nearest_key(&written.replace('-', "_")).map(|key| key.replace('_', "-"));
    // A setting may be a list in one command and a single value in another.
    let mut familiar = familiar.into_iter().flat_map(|key| [key.trim_end_matches('s').to_owned(), key]);
    let familiar = familiar.rfind(|name| has(name));
    familiar.or_else(|| nearest(written, names()).map(str::to_owned)).map(|name| format!("--{name}"))
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    #[test]
    fn what_is_meant_is_a_flag_of_the_command() {
        let flag = |name: &'static str| Arg::new(name).long(name).num_args(1);
        let command = named(Command::new("x").args(["steps", "warmup-steps", "learning-rate", "batch-size"].map(flag)));
        for (written, wanted) in [
            ("--max-stesp", Some("--max-steps")),
            ("--stpes=3", Some("--steps")),
            ("--max-tokens", None),
            ("--num-train-epochs", Some("--steps")),
            ("--per-device-train-batch-size", Some("--batch-size")),
            ("--learning-rates", Some("--learning-rate")),
            ("--xylophone", None),
        ] {
            assert_eq!(meant(written, &command).as_deref(), wanted, "{written}");
        }
    }
}
