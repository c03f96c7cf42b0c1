//! The command line: every flag, and the settings they give to an experiment.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use loralab_experiment::{Bytes, Experiment, KEYS, Seeds};

use crate::{
    device::DeviceArguments,
    flags,
    init::InitArguments,
    rate::RateArguments,
    report::ReportArguments,
    reproduce::Reproduce,
    search::{self, Rate},
    values::{at_least_1, not_negative, positive, size},
};

/// A laboratory for how LoRA finetuning begins: trains many adapters at once over one frozen model, and shows which
/// start learns, which blows up, and why.
#[derive(Debug, Parser)]
#[command(name = "loralab", version)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
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

/// `loralab verify`.
#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// Print every kernel with its largest error
    #[arg(long)]
    pub list: bool,
    #[command(flatten)]
    pub device: DeviceArguments,
    #[command(flatten)]
    pub grid: Grid,
    #[command(flatten)]
    pub settings: Settings,
}

/// The length of a training, counted in the data.
#[derive(Clone, Copy, Debug, Args)]
pub struct Length {
    /// Passes over the training data, instead of steps: as many steps as they take
    #[arg(long, value_name = "N", conflicts_with = "steps", help_heading = "Training", value_parser = positive)]
    pub epochs: Option<f64>,
}

/// `loralab sweep`.
#[derive(Debug, Args)]
pub struct SweepArguments {
    #[command(flatten)]
    pub grid: Grid,
    #[command(flatten)]
    pub settings: Settings,
    #[command(flatten)]
    pub length: Length,
    #[command(flatten)]
    pub device: DeviceArguments,
    #[command(flatten)]
    pub output: Output,
}

/// `loralab train`.
#[derive(Debug, Args)]
pub struct TrainArguments {
    /// The initialisation scheme; `loralab schemes` lists them [default: init-a]
    #[arg(long, value_name = "NAME", help_heading = "The run")]
    pub scheme: Option<String>,
    /// Numbers of the scheme that are not to be its defaults, separated by commas: eva.rho=1; `loralab schemes` lists them
    #[arg(
        long,
        visible_alias = "scheme-option",
        value_name = "OPTIONS",
        value_delimiter = ',',
        help_heading = "The run"
    )]
    pub scheme_options: Option<Vec<String>>,
    /// The peak learning rate [default: 4e-3]
    #[arg(long, value_name = "RATE", help_heading = "The run", value_parser = one_of::<f64>("learning_rates"))]
    pub learning_rate: Option<f64>,
    /// Fixes the adapter's draw and the data order [default: 0]
    #[arg(long, value_name = "N", help_heading = "The run", value_parser = one_of::<u64>("seeds"))]
    pub seed: Option<u64>,
    #[command(flatten)]
    pub settings: Settings,
    #[command(flatten)]
    pub length: Length,
    #[command(flatten)]
    pub device: DeviceArguments,
    #[command(flatten)]
    pub output: Output,
}

/// `loralab plan`.
#[derive(Debug, Args)]
pub struct PlanArguments {
    /// Runs of the cohort [default: those of the first cohort that the sweep would train]
    #[arg(long, value_name = "K", value_parser = size)]
    pub runs: Option<usize>,
    #[command(flatten)]
    pub grid: Grid,
    #[command(flatten)]
    pub settings: Settings,
    #[command(flatten)]
    pub device: DeviceArguments,
}

/// What a sweep varies.
#[derive(Debug, Args)]
#[command(next_help_heading = "The grid")]
pub struct Grid {
    /// The schemes to compare, separated by commas, or all; `loralab schemes` lists them [default: init-a,init-b]
    #[arg(long, visible_alias = "scheme", value_name = "NAMES", value_delimiter = ',')]
    schemes: Option<Vec<String>>,
    /// Numbers of schemes that are not to be their defaults, separated by commas: eva.rho=1,hrp.share=0.1; `loralab schemes` lists them
    #[arg(long, visible_alias = "scheme-option", value_name = "OPTIONS", value_delimiter = ',')]
    scheme_options: Option<Vec<String>>,
    /// The learning rates of each scheme, separated by commas; or auto, which searches in a few rounds for each scheme's best and for where it
    /// breaks [default: 1e-3 to 6.4e-2, doubling]
    #[arg(long, visible_alias = "learning-rate", value_name = "RATES", value_delimiter = ',', value_parser = search::rate)]
    pub learning_rates: Option<Vec<Rate>>,
    /// How many seeds, or which: 3 means 0, 1 and 2; 4,7 means these two [default: 2]
    #[arg(long, value_name = "N", value_parser = seeds)]
    seeds: Option<Seeds>,
    /// The one seed to use, or those separated by commas
    #[arg(long, value_name = "N", conflicts_with = "seeds", value_delimiter = ',', value_parser = setting::<u64>("seeds"))]
    seed: Option<Vec<u64>>,
}

/// Everything else that an experiment has.
#[derive(Debug, Args)]
pub struct Settings {
    /// A TOML file with settings of the experiment, such as base, rank or learning_rates, named as their flags are with `_` for `-`; flags hold over it
    #[arg(long, value_name = "FILE", help_heading = "What is trained")]
    pub config: Option<PathBuf>,
    /// The frozen model: tiny, nano, or a safetensors file that `loralab pretrain` made [default: tiny]
    #[arg(long, visible_alias = "model", value_name = "BASE", help_heading = "What is trained")]
    base: Option<String>,
    /// What is learnt, a task over the little world: translation, questions or arithmetic [default: translation]
    #[arg(long, value_name = "TASK", help_heading = "What is trained")]
    task: Option<String>,
    /// What is learnt, from a file: UTF-8 text, or lines {"prompt": "...", "completion": "..."} in a .jsonl; - reads either from stdin
    #[arg(long, value_name = "FILE", conflicts_with = "task", help_heading = "What is trained")]
    data: Option<String>,

    /// Inner size r of the adapters [default: 8]
    #[arg(long, value_name = "R", help_heading = "Adapters", value_parser = setting::<usize>("rank"))]
    rank: Option<usize>,
    /// Numerator of the adapters' scale [default: 16]
    #[arg(long, value_name = "ALPHA", help_heading = "Adapters", value_parser = setting::<f64>("alpha"))]
    alpha: Option<f64>,
    /// classic divides alpha by r, rslora by the root of r [default: classic]
    #[arg(long, value_name = "NAME", help_heading = "Adapters")]
    scaling: Option<String>,
    /// The linear maps that carry an adapter, separated by commas: q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj,
    /// down_proj, or all-linear [default: all-linear]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', help_heading = "Adapters")]
    target_modules: Option<Vec<String>>,

    /// adamw, sgd or sign_sgd [default: adamw]
    #[arg(long, value_name = "NAME", help_heading = "Optimiser")]
    optimizer: Option<String>,
    /// AdamW: decay of the mean gradient [default: 0.9]
    #[arg(long, value_name = "X", help_heading = "Optimiser", value_parser = setting::<f64>("beta1"))]
    beta1: Option<f64>,
    /// AdamW: decay of the mean squared gradient [default: 0.999]
    #[arg(long, value_name = "X", help_heading = "Optimiser", value_parser = setting::<f64>("beta2"))]
    beta2: Option<f64>,
    /// AdamW: added to the root of the mean squared gradient [default: 1e-8]
    #[arg(long, value_name = "X", help_heading = "Optimiser", value_parser = setting::<f64>("epsilon"))]
    epsilon: Option<f64>,
    /// SGD: decay of the velocity [default: 0]
    #[arg(long, value_name = "X", help_heading = "Optimiser", value_parser = setting::<f64>("momentum"))]
    momentum: Option<f64>,
    /// Weight decay [default: 0]
    #[arg(long, value_name = "X", help_heading = "Optimiser", value_parser = setting::<f64>("weight_decay"))]
    weight_decay: Option<f64>,
    /// Learning rate of B divided by that of A, as in LoRA+ [default: 1]
    #[arg(long, value_name = "X", help_heading = "Optimiser", value_parser = setting::<f64>("learning_rate_ratio"))]
    learning_rate_ratio: Option<f64>,
    /// Multiplies each factor's gradient by the inverse of the other factor's product: none, riemannian or nora_plus [default: none]
    #[arg(long, value_name = "NAME", help_heading = "Optimiser")]
    preconditioner: Option<String>,
    /// Gradients of a run with a larger norm are scaled down to it; 0 turns that off [default: 1]
    #[arg(long, value_name = "X", help_heading = "Optimiser", value_parser = setting::<f64>("max_grad_norm"))]
    max_grad_norm: Option<f64>,
    /// How the learning rate changes: linear, constant or cosine [default: linear]
    #[arg(long, value_name = "NAME", help_heading = "Optimiser")]
    schedule: Option<String>,
    /// Steps in which the learning rate rises from 0 [default: 0]
    #[arg(long, value_name = "N", help_heading = "Optimiser", value_parser = setting::<usize>("warmup_steps"))]
    warmup_steps: Option<usize>,

    /// Optimiser steps of each run [default: 200]
    #[arg(long, value_name = "N", help_heading = "Training", value_parser = setting::<usize>("steps"))]
    steps: Option<usize>,
    /// Sequences per step and run [default: 8]
    #[arg(long, value_name = "B", help_heading = "Training", value_parser = setting::<usize>("batch_size"))]
    batch_size: Option<usize>,
    /// Batches whose gradients are added up for one step, the mean taken over the tokens of all [default: 1]
    #[arg(long, value_name = "N", help_heading = "Training", value_parser = setting::<usize>("gradient_accumulation"))]
    gradient_accumulation: Option<usize>,
    /// Tokens (bytes) per sequence [default: 64]
    #[arg(long, visible_alias = "max-seq-length", value_name = "T", help_heading = "Training", value_parser = setting::<usize>("tokens"))]
    tokens: Option<usize>,
    /// Steps between validations; 0 validates only at the end [default: 50]
    #[arg(long, value_name = "N", help_heading = "Training", value_parser = setting::<usize>("evaluate_every"))]
    evaluate_every: Option<usize>,
    /// Steps between looks inside the adapters: norms, LoRA features, what a step's parts do; they go to metrics.jsonl. 0 takes none [default: 0]
    #[arg(long, value_name = "N", help_heading = "Training", value_parser = setting::<usize>("diagnose_every"))]
    diagnose_every: Option<usize>,
    /// Examples in a validation [default: 128]
    #[arg(long, value_name = "N", help_heading = "Training", value_parser = setting::<usize>("validation_examples"))]
    validation_examples: Option<usize>,

    /// Largest number of runs that are trained in one pass [default: as many as memory allows]
    #[arg(long, value_name = "K", help_heading = "Machine", value_parser = setting::<usize>("cohort"))]
    cohort: Option<usize>,
    /// Memory to use at most, such as 2GiB [default: half of what is free]
    #[arg(long, value_name = "BYTES", help_heading = "Machine")]
    memory: Option<Bytes>,
    /// CPU threads; no result depends on them [default: all]
    #[arg(long, value_name = "N", help_heading = "Machine", value_parser = setting::<usize>("threads"))]
    threads: Option<usize>,
}

/// Where results go and what is shown.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// The results folder; it must be new or empty
    #[arg(long, value_name = "FOLDER", default_value = "results")]
    pub output: PathBuf,
    /// Replace the results that the folder holds; other files in it are kept
    #[arg(long)]
    pub overwrite: bool,
    /// Show no progress, only the result
    #[arg(long)]
    pub quiet: bool,
    /// Write every event to stdout as a line of JSON, and nothing else
    #[arg(long)]
    pub json: bool,
    /// Say what would be trained and what memory that takes; train and write nothing
    #[arg(long, conflicts_with = "json")]
    pub dry_run: bool,
}

/// `loralab generate`.
#[derive(Debug, Args)]
pub struct GenerateArguments {
    /// The base: tiny, nano, or a safetensors file [default: the adapter's own, or tiny]
    #[arg(long, visible_alias = "model", value_name = "BASE")]
    pub base: Option<String>,
    /// A folder in PEFT's layout: adapter_config.json and adapter_model.safetensors
    #[arg(long, value_name = "FOLDER")]
    pub adapter: Option<PathBuf>,
    /// The text to go on from; without it, stdin is read. Only what follows it is printed
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// Most bytes to write
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub count: usize,
    /// 0 takes the likeliest byte each time, 1 draws as the model says, between is in between
    #[arg(long, value_name = "X", default_value = "0", value_parser = not_negative)]
    pub temperature: f64,
    /// Seed of the draws; matters above temperature 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// End at the first newline: an adapter trained on a task or on JSON lines ends its answers with one
    #[arg(long)]
    pub stop_at_newline: bool,
    /// CPU threads [default: all]
    #[arg(long, value_name = "N", value_parser = setting::<usize>("threads"))]
    pub threads: Option<usize>,
    #[command(flatten)]
    pub device: DeviceArguments,
}

/// Sizes of the shipped bases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Size {
    /// 4 layers, width 96, 4 heads, feed-forward 256
    Tiny,
    /// 2 layers, width 32, 2 heads, feed-forward 80
    Nano,
}

/// `loralab pretrain`.
#[derive(Debug, Args)]
pub struct PretrainArguments {
    /// The file to write, safetensors with weights in f16
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Replace the file if there is one
    #[arg(long)]
    pub overwrite: bool,
    /// Minutes between writes of the base as it is, to a file beside the output that is removed at the end; 0 writes none
    #[arg(long, value_name = "MINUTES", default_value = "5", value_parser = not_negative)]
    pub save_every: f64,
    /// UTF-8 text to learn; - reads it from stdin [default: stories of the little world and exercises, 4 MB of them]
    #[arg(long, value_name = "FILE")]
    pub data: Option<String>,

    /// Sizes and learning rate, where no flag says otherwise
    #[arg(long, value_enum, default_value = "tiny", help_heading = "Model")]
    pub size: Size,
    /// Layers [default: by size]
    #[arg(long, value_name = "L", help_heading = "Model", value_parser = size)]
    pub layers: Option<usize>,
    /// Columns of the residual stream [default: by size]
    #[arg(long, value_name = "N", help_heading = "Model", value_parser = size)]
    pub width: Option<usize>,
    /// Attention heads [default: by size]
    #[arg(long, value_name = "H", help_heading = "Model", value_parser = size)]
    pub heads: Option<usize>,
    /// Heads of keys and values [default: as many as heads]
    #[arg(long, value_name = "N", help_heading = "Model", value_parser = size)]
    pub kv_heads: Option<usize>,
    /// Columns of the feed-forward part [default: by size]
    #[arg(long, value_name = "N", help_heading = "Model", value_parser = size)]
    pub feed_forward: Option<usize>,

    /// Tokens (bytes) per sequence
    #[arg(long, visible_alias = "max-seq-length", value_name = "T", default_value = "64", help_heading = "Training", value_parser = size)]
    pub tokens: usize,
    /// Sequences per step
    #[arg(long, value_name = "B", default_value = "32", help_heading = "Training", value_parser = size)]
    pub batch_size: usize,
    /// Optimiser steps
    #[arg(long, value_name = "N", default_value = "6000", help_heading = "Training", value_parser = at_least_1)]
    pub steps: usize,
    /// Peak learning rate, warmed up over 2 % of the steps and then a cosine [default: 4e-3 for tiny, 8e-3 for nano]
    #[arg(long, value_name = "RATE", help_heading = "Training", value_parser = positive)]
    pub learning_rate: Option<f64>,
    /// Weight decay of the matrices
    #[arg(long, value_name = "X", default_value = "0.05", help_heading = "Training", value_parser = not_negative)]
    pub weight_decay: f64,
    /// Fixes the initial weights and the data order
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Training")]
    pub seed: u64,
    /// CPU threads; no result depends on them [default: all]
    #[arg(long, value_name = "N", help_heading = "Training", value_parser = setting::<usize>("threads"))]
    pub threads: Option<usize>,
    /// Show no progress, only the result
    #[arg(long)]
    pub quiet: bool,
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

impl Grid {
    /// The grid as settings, laid over `rest`.
    pub fn over(&self, rest: Experiment) -> Experiment {
        Experiment {
            schemes: self.schemes.clone(),
            scheme_options: self.scheme_options.clone(),
            learning_rates: self.learning_rates.as_deref().and_then(search::listed),
            searches: self.learning_rates.as_deref() == Some(&[Rate::Auto]),
            seeds: self.seeds.clone().or_else(|| self.seed.clone().map(Seeds::List)),
            ..rest
        }
    }
}

impl TrainArguments {
    /// The one cell as settings, laid over `rest`.
    pub fn over(&self, rest: Experiment) -> Experiment {
        Experiment {
            schemes: self.scheme.clone().map(|scheme| vec![scheme]),
            scheme_options: self.scheme_options.clone(),
            learning_rates: self.learning_rate.map(|rate| vec![rate]),
            seeds: self.seed.map(|seed| Seeds::List(vec![seed])),
            ..rest
        }
    }
}

impl Settings {
    /// The settings that were given as flags.
    pub fn experiment(&self) -> Experiment {
        Experiment {
            base: self.base.clone(),
            task: self.task.clone(),
            data: self.data.clone(),
            schemes: None,
            scheme_options: None,
            learning_rates: None,
            searches: false,
            seeds: None,
            rank: self.rank,
            alpha: self.alpha,
            scaling: self.scaling.clone(),
            target_modules: self.target_modules.clone(),
            optimizer: self.optimizer.clone(),
            beta1: self.beta1,
            beta2: self.beta2,
            epsilon: self.epsilon,
            momentum: self.momentum,
            weight_decay: self.weight_decay,
            learning_rate_ratio: self.learning_rate_ratio,
            preconditioner: self.preconditioner.clone(),
            max_grad_norm: self.max_grad_norm,
            schedule: self.schedule.clone(),
            warmup_steps: self.warmup_steps,
            steps: self.steps,
            batch_size: self.batch_size,
            gradient_accumulation: self.gradient_accumulation,
            tokens: self.tokens,
            evaluate_every: self.evaluate_every,
            diagnose_every: self.diagnose_every,
            validation_examples: self.validation_examples,
            cohort: self.cohort,
            memory: self.memory,
            threads: self.threads,
        }
    }
}

/// Reads a value of the setting of that name; what is no such value is told in the words of the setting's table.
pub fn setting<T: FromStr>(name: &'static str) -> impl Fn(&str) -> Result<T, String> + Clone {
    let needs = KEYS.iter().find(|key| key.name == name).map_or("another value", |key| key.needs);
    move |text| text.trim().parse().map_err(|_| format!("it must be {needs}"))
}

/// The same where the setting is a list, and one of its values is wanted.
fn one_of<T: FromStr>(name: &'static str) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        setting(name)(text).map_err(|sentence| {
            let one =
                sentence.replace("a list of whole numbers", "a whole number").replace("a list of numbers", "a number");
            let one = one.split(", or how many").next().unwrap_or(&one).to_owned();
            if text.contains(',') { format!("{one}; several are for `loralab sweep`") } else { one }
        })
    }
}

fn seeds(text: &str) -> Result<Seeds, String> {
    let number = setting::<u64>("seeds");
    match text.contains(',') {
        true => text.split(',').map(number).collect::<Result<_, _>>().map(Seeds::List),
        false => number(text).map(Seeds::Count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        flags::named(CommandLine::command()).debug_assert();
    }

    #[test]
    fn seeds_are_counted_or_listed() {
        assert_eq!(seeds("3"), Ok(Seeds::Count(3)));
        assert_eq!(seeds("4,7"), Ok(Seeds::List(vec![4, 7])));
        assert!(seeds("1,x").is_err_and(|sentence| sentence.starts_with("it must be a list of whole numbers")));
    }
}
