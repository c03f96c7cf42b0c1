//! The `loralab` command: files, terminal, exit codes. `loralab-core` does the work.

mod adapter;
mod answers;
mod args;
mod base;
mod chat;
mod device;
mod devices;
mod dry_run;
mod earlier;
mod eval;
mod examples;
mod export;
mod failure;
mod fit;
mod generate;
mod grid;
#[cfg(feature = "hub")]
mod hub;
mod init;
mod interrupt;
mod lock;
mod memory;
mod merge;
mod model_card;
mod outlook;
mod plan;
mod prepare;
mod pretrain;
mod progress;
mod rate;
mod report;
mod reproduce;
mod results;
mod saved;
mod schemes;
mod search;
mod source;
mod sweep;
mod terminal;
mod tiles;
mod trained;
mod verify;
mod watch;

use std::process::ExitCode;

use args::Command;

fn main() -> ExitCode {
    interrupt::outlive_full_disks();
    let outcome = match args::parse() {
        Command::Sweep(arguments) => sweep::sweep(&arguments),
        Command::Train(arguments) => sweep::train(&arguments),
        Command::Init(arguments) => init::init(&arguments),
        Command::Generate(arguments) => generate::generate(&arguments),
        Command::Chat(arguments) => chat::chat(&arguments),
        Command::Eval(arguments) => eval::eval(&arguments),
        Command::Merge(arguments) => merge::merge(&arguments),
        Command::Export(arguments) => export::export(&arguments),
        Command::Pretrain(arguments) => pretrain::pretrain(&arguments),
        Command::Plan(arguments) => plan::plan(&arguments),
        Command::Reproduce(what) => reproduce::reproduce(&what),
        Command::Report(arguments) => report::report(&arguments),
        Command::Schemes => schemes::schemes(),
        Command::Rate(arguments) => rate::rate(&arguments),
        Command::Devices => devices::devices(),
        Command::Verify(arguments) => verify::verify(&arguments),
    };
    failure::exit_code(outcome)
}
