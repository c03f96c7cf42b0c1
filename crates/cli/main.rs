//! The `loralab` command: files, terminal, exit codes. `loralab-core` does the work.

mod adapter;
mod answers;
mod args;
mod auto_resume;
mod base;
mod chat;
mod cluster;
mod collect;
mod device;
mod devices;
mod dry_run;
mod durable;
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
mod log;
mod memory;
mod merge;
mod model_card;
mod outlook;
mod plan;
mod prepare;
mod pretrain;
mod progress;
mod rate;
mod recorder;
mod report;
mod reproduce;
mod results;
mod resume;
mod saved;
mod schemes;
mod search;
mod source;
mod state;
mod sweep;
mod table;
mod terminal;
mod tiles;
mod trackers;
mod trained;
mod tune;
mod verify;
mod visible;
mod watch;

use std::process::ExitCode;

use anyhow::Result;
use args::Command;
use resume::Begun;

fn main() -> ExitCode {
    interrupt::outlive_full_disks();
    failure::exit_code(resume::command().and_then(|(command, begun)| run(&command, &begun)))
}

fn run(command: &Command, begun: &Begun) -> Result<()> {
    match command {
        Command::Sweep(arguments) => sweep::sweep(arguments, begun),
        Command::Collect(arguments) => collect::collect(arguments),
        Command::Cluster(arguments) => cluster::cluster(arguments, &begun.typed),
        Command::Train(arguments) => sweep::train(arguments, begun),
        Command::Tune(arguments) => tune::tune(arguments, begun),
        Command::Init(arguments) => init::init(arguments),
        Command::Generate(arguments) => generate::generate(arguments),
        Command::Chat(arguments) => chat::chat(arguments),
        Command::Eval(arguments) => eval::eval(arguments),
        Command::Merge(arguments) => merge::merge(arguments),
        Command::Export(arguments) => export::export(arguments),
        Command::Pretrain(arguments) => pretrain::pretrain(arguments, begun),
        Command::Plan(arguments) => plan::plan(arguments),
        Command::Reproduce(what) => reproduce::reproduce(what, begun),
        Command::Report(arguments) => report::report(arguments),
        Command::Schemes => schemes::schemes(),
        Command::Rate(arguments) => rate::rate(arguments),
        Command::Devices => devices::devices(),
        Command::Verify(arguments) => verify::verify(arguments),
        Command::Watch(arguments) => watch::watch(arguments),
    }
}
