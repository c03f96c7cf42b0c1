//! `loralab init`: the start of an adapter by itself, for whoever trains it.

use std::{path::PathBuf, time::Instant};

use anyhow::Result;
use clap::Args;
use loralab_core::{device::wait, lab::residual, lora::init::find, models::Base};
use loralab_experiment::{Bytes, Experiment, Seeds};

use crate::{
    args::setting,
    device::DeviceArguments,
    failure::usage,
    interrupt,
    model_card::{self, Form},
    outlook,
    results::{ADAPTER_FILES, BASE, Results, lock_output, write_folder},
    source,
    sweep::{Prepared, options_in_words},
    terminal::{note, print},
};

/// `loralab init`.
#[derive(Debug, Args)]
pub struct InitArguments {
    /// The initialisation scheme; `loralab schemes` lists them
    #[arg(value_name = "SCHEME")]
    pub scheme: String,
    /// Numbers of the scheme that are not to be its defaults, separated by commas: eva.rho=1; `loralab schemes` lists them
    #[arg(long, visible_alias = "scheme-option", value_name = "OPTIONS", value_delimiter = ',')]
    pub scheme_options: Option<Vec<String>>,
    /// The frozen model: tiny, nano, or a safetensors file that `loralab pretrain` made
    #[arg(long, visible_alias = "model", value_name = "BASE", default_value = "tiny")]
    pub base: String,
    /// The folder to write, in PEFT's layout: adapter_config.json and adapter_model.safetensors, with a README.md that says how PEFT trains it; it must be new
    /// or empty
    #[arg(long, value_name = "FOLDER")]
    pub output: PathBuf,
    /// Take the start out of the weights: a plain adapter of rank r, and beside it the base that it belongs to. Otherwise a start that is taken out (pissa,
    /// lora-ga, …) is an adapter of rank 2r for the untouched base, whose second half must be kept from training by the lines in its README.md
    #[arg(long)]
    pub residual_base: bool,
    /// Inner size r of the adapter [default: 8]
    #[arg(long, value_name = "R", value_parser = setting::<usize>("rank"))]
    pub rank: Option<usize>,
    /// Numerator of the adapter's scale [default: 16]
    #[arg(long, value_name = "ALPHA", value_parser = setting::<f64>("alpha"))]
    pub alpha: Option<f64>,
    /// classic divides alpha by r, rslora by the root of r [default: classic]
    #[arg(long, value_name = "NAME")]
    pub scaling: Option<String>,
    /// The linear maps that carry an adapter, separated by commas, or all-linear [default: all-linear]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub target_modules: Option<Vec<String>>,
    /// Fixes the adapter's draw, and the data that are read [default: 0]
    #[arg(long, value_name = "N", value_parser = setting::<u64>("seeds"))]
    pub seed: Option<u64>,
    /// What a start that reads data is shown: a task [default: translation]
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,
    /// The same from a file: a text, or lines of {"prompt": "...", "completion": "..."} in a .jsonl; - reads either from stdin
    #[arg(long, value_name = "PATH", conflicts_with = "task")]
    pub data: Option<String>,
    /// Length of the sequences of data [default: 64]
    #[arg(long, value_name = "T", value_parser = setting::<usize>("tokens"))]
    pub tokens: Option<usize>,
    /// Sequences in each batch of data [default: 8]
    #[arg(long, value_name = "B", value_parser = setting::<usize>("batch_size"))]
    pub batch_size: Option<usize>,
    /// Memory to use at most, such as 2GiB [default: half of what is free]
    #[arg(long, value_name = "BYTES")]
    pub memory: Option<Bytes>,
    #[command(flatten)]
    pub device: DeviceArguments,
}

impl InitArguments {
    /// The one start as settings.
    pub fn experiment(&self) -> Experiment {
        Experiment {
            base: Some(self.base.clone()),
            schemes: Some(vec![self.scheme.clone()]),
            scheme_options: self.scheme_options.clone(),
            seeds: Some(Seeds::List(vec![self.seed.unwrap_or(0)])),
            learning_rates: Some(vec![1e-3]),
            rank: self.rank,
            alpha: self.alpha,
            scaling: self.scaling.clone(),
            target_modules: self.target_modules.clone(),
            task: self.task.clone(),
            data: self.data.clone(),
            tokens: self.tokens,
            batch_size: self.batch_size,
            memory: self.memory,
            ..Experiment::default()
        }
    }
}

/// Computes a start, writes it, and prints what it is, layer by layer.
pub fn init(arguments: &InitArguments) -> Result<()> {
    let experiment = source::experiment(Experiment::default(), None, arguments.experiment())?;
    if experiment.schemes.len() != 1 {
        return Err(usage("`init` starts one adapter by one scheme; name one that `loralab schemes` lists"));
    }
    let scheme = find(&experiment.schemes[0])?;
    if arguments.residual_base && !scheme.frozen_pair {
        let why = match scheme.rule.quantiser() {
            Some(_) => "has a quantised base of its own, which is written beside it",
            None => "leaves the base as it is",
        };
        return Err(usage(format_args!(
            "`--residual-base` is for a start that is taken out of the base, but {} {why}; leave the flag away",
            scheme.name
        )));
    }
    Results::check_free(&arguments.output, "")?;
    interrupt::end_when_asked("nothing is written");
    let _lock = lock_output(&arguments.output)?;
    let prepared = Prepared::new(&experiment, &arguments.device, false)?;
    if let Some(words) = outlook::rank_in_words(&experiment, &prepared.base) {
        note(words);
    }
    let began = Instant::now();
    let mut begun = wait(prepared.begin(&experiment))?;
    if arguments.residual_base {
        begun = residual(begun, &prepared.base, scheme.name).map_err(usage)?;
    }
    let seconds = began.elapsed().as_secs_f64();
    let form = Form::of(scheme, &begun.adapter, begun.base.is_some());
    let mut adapter = begun.adapter.to_peft()?;
    if form == Form::AOnly {
        adapter = adapter.training_a_only()?;
    }
    let card = model_card::text(form, scheme, &begun.adapter, &adapter)?;
    let base = begun.base.as_ref().map(Base::to_safetensors).transpose()?;
    let contents = [Some(adapter.config_json.as_bytes()), Some(&adapter.safetensors), base.as_deref()];
    let files = ADAPTER_FILES.into_iter().zip(contents).filter_map(|(name, contents)| Some((name, contents?)));
    let files: Vec<(&str, &[u8])> = files.chain([("README.md", card.as_bytes())]).collect();
    write_folder(&arguments.output, &files)?;

    let width = begun.layers.iter().map(|layer| layer.module.len()).max().unwrap_or(0);
    print(format_args!("{:width$}  rank      ‖A‖      ‖B‖   ‖sBA‖/‖W‖  energy  moved/‖W‖", "module"))?;
    for layer in &begun.layers {
        print(format_args!(
            "{:width$}  {:4}  {:7.3}  {:7.3}   {:9.2e}  {:6.3}  {:9.2e}",
            layer.module, layer.rank, layer.a, layer.b, layer.product, layer.energy, layer.moved
        ))?;
    }
    let moved = begun.layers.iter().fold(0.0_f64, |most, layer| most.max(layer.moved));
    let at_step_0 = if moved == 0.0 {
        "the base model's exactly".to_owned()
    } else if moved.is_infinite() {
        "not the base model's: weights that are zero there are not here".to_owned()
    } else {
        format!("that of weights moved by up to {moved:.1e} of their norm")
    };
    let data = match begun.tokens {
        0 => "no data were used".to_owned(),
        tokens => format!("{tokens} tokens of data went through the model"),
    };
    let folder = arguments.output.display();
    let training = match form {
        Form::Plain => format!("PEFT loads `{folder}` onto the untouched base and trains it as it is."),
        Form::OwnBase => format!("PEFT loads `{folder}` onto the base beside it, {BASE}, and trains it as it is."),
        Form::AOnly => format!(
            "PEFT loads `{folder}` onto the untouched base and trains A alone, from version 0.20 on; `{folder}/README.md` says what an earlier one takes."
        ),
        Form::FrozenHalf => format!(
            "PEFT loads `{folder}` onto the untouched base as an adapter of twice the rank, there with a rounding error, whose second half must not be trained. \
             By itself PEFT trains it all, which is another method with other losses: run these lines of `{folder}/README.md` before training, or choose \
             `--residual-base`.\n\n{}",
            model_card::FREEZE.trim_end()
        ),
    };
    print(format_args!(
        "\nenergy is the share of ‖W‖² that A reads or, where A is zero, that B writes. The output at step 0 is {at_step_0}.\n\
         {} layers of rank {}, scale {}, in {seconds:.2} s; {data}.\n{training}",
        begun.layers.len(),
        experiment.rank,
        begun.adapter.scale()
    ))?;
    if let Some(words) = options_in_words(&experiment) {
        print(words)?;
    }
    Ok(())
}
