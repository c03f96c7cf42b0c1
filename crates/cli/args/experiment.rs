//! The arguments that give an experiment: its grid, its settings, its length.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, error::ErrorKind, value_parser};
use loralab_experiment::{Experiment, FLAGS, Flag, KEYS, Seeds};

use super::values::{Rate, listed, positive, rate, setting};

/// The section of the grid's flags.
const GRID: &str = "The grid";

/// The grid of a sweep.
#[derive(Debug)]
pub struct Grid {
    /// The learning rates, or auto.
    pub learning_rates: Option<Vec<Rate>>,
    others: Experiment,
}

impl Grid {
    /// The grid as settings, laid over `rest`.
    pub fn over(&self, rest: Experiment) -> Experiment {
        Experiment {
            schemes: self.others.schemes.clone(),
            scheme_options: self.others.scheme_options.clone(),
            learning_rates: self.learning_rates.as_deref().and_then(listed),
            searches: self.learning_rates.as_deref() == Some(&[Rate::Auto]),
            seeds: self.others.seeds.clone(),
            stop_early: self.others.stop_early,
            precision: self.others.precision,
            ..rest
        }
    }
}

impl Args for Grid {
    fn augment_args(command: Command) -> Command {
        let rates = |argument: Arg| match argument.get_id() == "learning_rates" {
            true => argument.value_parser(|text: &str| rate(text).map(|_| text.to_owned())),
            false => argument,
        };
        let seed = Arg::new("seed").long("seed").value_name("N").help_heading(GRID);
        let seed = seed.help("The one seed to use, or those separated by commas").conflicts_with("seeds");
        let seed = seed.value_parser(setting::<u64>("seeds")).value_delimiter(',').action(ArgAction::Append);
        command.args(flags(|flag| flag.heading == GRID).map(argument).map(rates)).arg(seed)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Grid {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut others = given(matches, |flag| flag.heading == GRID && flag.setting != "learning_rates")?;
        let rates = matches.get_many::<String>("learning_rates");
        let learning_rates = rates.map(|texts| texts.map(|text| rate(text)).collect::<Result<_, _>>()).transpose();
        if let Some(seeds) = matches.get_many::<u64>("seed") {
            others.seeds = Some(Seeds::List(seeds.copied().collect()));
        }
        Ok(Self { learning_rates: learning_rates.map_err(wrong)?, others })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Everything else that an experiment has.
#[derive(Debug)]
pub struct Settings {
    /// A file with settings, over which flags hold.
    pub config: Option<PathBuf>,
    given: Experiment,
}

impl Settings {
    /// The settings that were given as flags.
    pub fn experiment(&self) -> Experiment {
        self.given.clone()
    }
}

impl Args for Settings {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config").long("config").value_name("FILE").help_heading("What is trained");
        let config = config.value_parser(value_parser!(PathBuf)).help(
            "A TOML file with settings of the experiment, such as base, rank or learning_rates, named as their flags are with `_` for `-`; flags hold over it",
        );
        command.arg(config).args(flags(|flag| flag.heading != GRID).map(argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let config = matches.get_one("config").cloned();
        Ok(Self { config, given: given(matches, |flag| flag.heading != GRID)? })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The length of a training, counted in the data.
#[derive(Clone, Copy, Debug, Args)]
pub struct Length {
    /// Passes over the training data, instead of steps: as many steps as they take
    #[arg(long, value_name = "N", conflicts_with = "steps", help_heading = "Training", value_parser = positive)]
    pub epochs: Option<f64>,
}

/// The flags of some settings.
fn flags(which: impl Fn(&Flag) -> bool) -> impl Iterator<Item = &'static Flag> {
    FLAGS.iter().filter(move |flag| which(flag))
}

/// The argument of a setting; its value stays a text, which is read once it is known to be right.
fn argument(flag: &'static Flag) -> Arg {
    let key = KEYS.iter().find(|key| key.name == flag.setting).expect("every flag is of a setting");
    let is_switch = key.example.ends_with("= true");
    let help = match key.default {
        "" | "false" => flag.help.to_owned(),
        default => format!("{} [default: {default}]", flag.help),
    };
    let right = |text: &str| Experiment::default().set(flag.setting, text).map(|()| text.to_owned());
    let argument = Arg::new(flag.setting).long(flag.setting.replace('_', "-")).value_name(flag.value).help(help);
    let argument = argument.help_heading(flag.heading).value_parser(right);
    if is_switch {
        // A file's `true` can be taken back by `--truncate=false`.
        return argument
            .value_name("BOOL")
            .hide_possible_values(true)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true");
    }
    match (flag.setting, key.example.contains("= [")) {
        // A switch is on where it is named.
        _ if key.needs == "true or false" => argument.num_args(0..=1).default_missing_value("true"),
        ("data", _) => argument.conflicts_with("task"),
        // One value: the number of seeds, or a list of them.
        ("seeds", _) | (_, false) => argument,
        (_, true) => argument.value_delimiter(',').action(ArgAction::Append),
    }
}

/// The settings that some flags give.
fn given(matches: &ArgMatches, which: impl Fn(&Flag) -> bool) -> Result<Experiment, Error> {
    let mut experiment = Experiment::default();
    for flag in flags(which) {
        if let Some(texts) = matches.get_many::<String>(flag.setting) {
            let texts: Vec<&str> = texts.map(String::as_str).collect();
            experiment.set(flag.setting, &texts.join(",")).map_err(wrong)?;
        }
    }
    Ok(experiment)
}

fn wrong(why: String) -> Error {
    Error::raw(ErrorKind::ValueValidation, why)
}
