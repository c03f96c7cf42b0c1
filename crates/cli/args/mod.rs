//! The command line: every command's arguments, and the settings they give to an experiment.
//!
//! Commands use this module; it uses none of them.

mod chat;
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
mod sweep;
mod values;
mod verify;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

pub use chat::ChatArguments;
pub use device::{Device, DeviceArguments, Tiles};
pub use eval::EvalArguments;
pub use experiment::Length;
pub use export::ExportArguments;
pub use generate::GenerateArguments;
pub use init::InitArguments;
pub use merge::MergeArguments;
pub use output::Output;
pub use plan::PlanArguments;
pub use pretrain::{PretrainArguments, Size};
pub use rate::{RateArguments, Sizes};
pub use report::ReportArguments;
pub use reproduce::{
    CrossingArguments, CurvatureArguments, ExponentsArguments, Reproduce, ReproduceOutput, ToyArguments,
    TransformerArguments,
};
pub use sweep::{SweepArguments, TrainArguments};
pub use values::Rate;
pub use verify::VerifyArguments;

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
    /// Train one adapter: a sweep of a single run.
    Train(TrainArguments),
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
}

/// Reads the command line; a wrong one, `--help` and `--version` end the process here.
pub fn parse() -> Command {
    let mut command = flags::named(CommandLine::command());
    let matches = command.try_get_matches_from_mut(std::env::args_os());
    let typed = || std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let matches = matches.unwrap_or_else(|error| flags::with_tip(error, &command, typed()).exit());
    let parsed = CommandLine::from_arg_matches(&matches);
    parsed.unwrap_or_else(|error| error.exit()).command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        flags::named(CommandLine::command()).debug_assert();
    }
}
