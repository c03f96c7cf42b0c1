//! The command line: every command's arguments, and the settings they give to an experiment.
//!
//! Commands use this module; it uses none of them.

mod chat;
mod cluster;
mod collect;
mod device;
mod eval;
mod experiment;
mod export;
mod flags;
mod generate;
mod init;
mod merge;
mod output;
mod plan;
mod pretrain;
mod rate;
mod reading;
mod report;
mod reproduce;
mod shard;
mod sweep;
mod tune;
mod values;
mod verify;
mod watch;

use std::{collections::BTreeMap, ffi::OsString};

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, parser::ValueSource};
use serde::{Deserialize, Serialize};

pub use chat::ChatArguments;
pub use cluster::{ClusterArguments, Engine};
pub use collect::CollectArguments;
pub use device::{Device, DeviceArguments, Tiles};
pub use eval::EvalArguments;
pub use experiment::Length;
pub use export::ExportArguments;
pub use generate::GenerateArguments;
pub use init::InitArguments;
pub use merge::MergeArguments;
pub use output::{Output, Tracker};
pub use plan::PlanArguments;
pub use pretrain::{PretrainArguments, Size};
pub use rate::{RateArguments, Sizes};
pub use report::ReportArguments;
pub use reproduce::{
    CrossingArguments, CurvatureArguments, ExponentsArguments, Reproduce, ReproduceOutput, ToyArguments,
    TransformerArguments,
};
pub use shard::Shard;
pub use sweep::{SweepArguments, TrainArguments};
pub use tune::TuneArguments;
pub use values::Rate;
pub use verify::VerifyArguments;
pub use watch::WatchArguments;

/// A laboratory for how LoRA finetuning begins: trains many adapters at once over one frozen model, and shows which
/// start learns, which blows up, and why.
#[derive(Debug, Parser)]
#[command(name = "loralab", version)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train every scheme at every learning rate and seed, and say which is best where.
    Sweep(SweepArguments),
    /// Make one result of the parts of a sweep that several machines trained with `--shard`.
    Collect(CollectArguments),
    /// Print a sweep as a job of Slurm, Ray, Kubernetes or SkyPilot, whose parts are trained on several machines.
    Cluster(ClusterArguments),
    /// Train one adapter: a sweep of a single run.
    Train(TrainArguments),
    /// Find a scheme and a learning rate within a budget, and train an adapter with them.
    Tune(TuneArguments),
    /// Only compute the start of an adapter, say what it is, and write it for PEFT.
    Init(InitArguments),
    /// Continue a text with a base, or with a base and an adapter.
    Generate(GenerateArguments),
    /// Answer what is typed, or piped in, with a base and any adapters of it, side by side.
    Chat(ChatArguments),
    /// Evaluate a base and any adapters of it on data, side by side: loss, perplexity, bits per byte, accuracy, answers.
    Eval(EvalArguments),
    /// Add an adapter to the weights of its model, and write the model in its own layout.
    Merge(MergeArguments),
    /// Write an adapter for llama.cpp, as a GGUF file.
    Export(ExportArguments),
    /// Train a base from nothing, all weights.
    Pretrain(PretrainArguments),
    /// Measure the paper's claims again, and write a report of what comes out
    #[command(subcommand)]
    Reproduce(Reproduce),
    /// Write the report of a results folder: one page, figures and tables
    Report(ReportArguments),
    /// Print the list of dispatches that a training step of a cohort replays.
    Plan(PlanArguments),
    /// List the initialisation schemes.
    Schemes,
    /// From a learning rate that is good at one width and rank, suggest one for another.
    Rate(RateArguments),
    /// List what there is to train on: the CPU and every GPU.
    Devices,
    /// Run one training step on a GPU, kernel by kernel, and hold each to the error bound that the CPU derives for it.
    Verify(VerifyArguments),
    /// Show a sweep in training, or one that has ended: what each scheme has found so far, as a table and a plot in the terminal.
    Watch(WatchArguments),
}

/// A command line as it was typed: the words of its command, and its flags by their names, each with its values if it takes any.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Typed {
    /// The command: sweep, or reproduce and toy.
    pub command: Vec<String>,
    /// The flags, without the dashes before them. Values of a list are separated by commas.
    pub flags: BTreeMap<String, Option<String>>,
}

impl Typed {
    fn of(mut command: &clap::Command, mut matches: &ArgMatches) -> Self {
        let mut typed = Self::default();
        while let Some((name, inner)) = matches.subcommand() {
            typed.command.push(name.to_owned());
            (command, matches) = (command.find_subcommand(name).unwrap_or(command), inner);
        }
        for argument in command.get_arguments() {
            let id = argument.get_id().as_str();
            let Some(name) = argument.get_long() else { continue };
            if matches.value_source(id) == Some(ValueSource::CommandLine) {
                let values = || {
                    let texts = matches.get_raw(id).into_iter().flatten().map(|text| text.to_string_lossy());
                    texts.collect::<Vec<_>>().join(",")
                };
                typed.flags.insert(name.to_owned(), argument.get_action().takes_values().then(values));
            }
        }
        typed
    }

    /// The words of the command line, the program's name first.
    pub fn words(&self) -> Vec<String> {
        let flag = |(name, values): (&String, &Option<String>)| match values {
            Some(values) => format!("--{name}={values}"),
            None => format!("--{name}"),
        };
        let words = self.command.iter().cloned().chain(self.flags.iter().map(flag));
        ["loralab".to_owned()].into_iter().chain(words).collect()
    }
}

/// Reads the command line; a wrong one, `--help` and `--version` end the process here.
pub fn parse() -> (Command, Typed) {
    read(std::env::args_os().collect())
}

/// Reads a command line that was typed before; a wrong one ends the process here.
pub fn parse_again(typed: &Typed) -> Command {
    read(typed.words().into_iter().map(OsString::from).collect()).0
}

fn read(words: Vec<OsString>) -> (Command, Typed) {
    let mut command = flags::named(tune::with_own_grid(CommandLine::command()));
    let matches = command.try_get_matches_from_mut(&words);
    let typed = || words.iter().skip(1).map(|word| word.to_string_lossy().into_owned());
    let matches = matches.unwrap_or_else(|error| flags::with_tip(error, &command, typed()).exit());
    let parsed = CommandLine::from_arg_matches(&matches);
    (parsed.unwrap_or_else(|error| error.exit()).command, Typed::of(&command, &matches))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        flags::named(tune::with_own_grid(CommandLine::command())).debug_assert();
    }

    #[test]
    fn what_was_typed_can_be_typed_again() {
        let words =
            "loralab sweep --lr 1e-3 --learning-rates 2e-3,4e-3 --truncate --quiet --seed 1,2 -o x --memory=2GiB";
        let words = words.replace("--lr 1e-3 ", "").split(' ').map(OsString::from).collect();
        let (_, typed) = read(words);
        let again =
            "loralab sweep --learning-rates=2e-3,4e-3 --memory=2GiB --output=x --quiet --seed=1,2 --truncate=true";
        assert_eq!(typed.words(), again.split(' ').collect::<Vec<_>>());
        assert_eq!(read(typed.words().into_iter().map(OsString::from).collect()).1, typed);
        let (_, typed) = read("loralab reproduce toy --steps 3".split(' ').map(OsString::from).collect());
        assert_eq!(typed.command, ["reproduce", "toy"]);
    }
}
