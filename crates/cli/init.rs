//! `loralab init`: computes the start of an adapter, to train elsewhere.

use std::time::Instant;

use anyhow::Result;
use loralab_core::{
    device::wait,
    lab::{AdapterStart, residual},
    lora::init::find,
    models::Base,
};
use loralab_experiment::{Experiment, Quantize, Resolved};

use crate::{
    args::InitArguments,
    durable::write_folder,
    failure::usage,
    interrupt,
    model_card::{self, Form},
    outlook,
    prepare::{prepare, refused},
    results::{ADAPTER_FILES, BASE, Results, lock_output},
    saved::read_back,
    source,
    sweep::options_in_words,
    terminal::{note, print},
};

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
    let prepared = prepare(&experiment, &arguments.device, false)?;
    if let Some(words) = outlook::rank_in_words(&experiment, &prepared.base) {
        note(words);
    }
    prepared.data.notes.iter().for_each(note);
    let began = Instant::now();
    let mut start = wait(prepared.compute_start(&experiment, &experiment.cells()[0]))
        .map_err(|error| refused(error, &experiment))?;
    if arguments.residual_base {
        start = residual(start, &prepared.base, scheme.name).map_err(usage)?;
    }
    let seconds = began.elapsed().as_secs_f64();
    let form = Form::of(scheme, &start.adapter, start.base.is_some());
    let mut adapter = start.adapter.to_peft()?;
    if form == Form::AOnly {
        adapter = adapter.training_a_only()?;
    }
    let card = model_card::text(form, scheme, &start.adapter, &adapter)?;
    let base = start.base.as_ref().map(Base::to_safetensors).transpose()?;
    let contents = [Some(adapter.config_json.as_bytes()), Some(&adapter.safetensors), base.as_deref()];
    let files = ADAPTER_FILES.into_iter().zip(contents).filter_map(|(name, contents)| Some((name, contents?)));
    let files: Vec<(&str, &[u8])> = files.chain([("README.md", card.as_bytes())]).collect();
    write_folder(&arguments.output, &files)?;
    read_back(&arguments.output, &adapter)?;

    report(&start, form, arguments, &experiment, seconds)
}

/// Prints the start layer by layer, and how it is trained.
fn report(
    start: &AdapterStart,
    form: Form,
    arguments: &InitArguments,
    experiment: &Resolved,
    seconds: f64,
) -> Result<()> {
    let width = start.layers.iter().map(|layer| layer.module.len()).max().unwrap_or(0);
    print(format_args!("{:width$}  rank      ‖A‖      ‖B‖   ‖sBA‖/‖W‖  energy  moved/‖W‖", "module"))?;
    for layer in &start.layers {
        print(format_args!(
            "{:width$}  {:4}  {:7.3}  {:7.3}   {:9.2e}  {:6.3}  {:9.2e}",
            layer.module, layer.rank, layer.a, layer.b, layer.product, layer.energy, layer.moved
        ))?;
    }
    let moved = start.layers.iter().fold(0.0_f64, |most, layer| most.max(layer.moved));
    let at_step_0 = if moved == 0.0 {
        "the base model's exactly".to_owned()
    } else if moved.is_infinite() {
        "not the base model's: weights that are zero there are not here".to_owned()
    } else {
        format!("that of weights moved by up to {moved:.1e} of their norm")
    };
    let data = match start.tokens {
        0 => "no data were used".to_owned(),
        tokens => format!("{tokens} tokens of data went through the model"),
    };
    let training = training(form, arguments);
    print(format_args!(
        "\nenergy is the share of ‖W‖² that A reads or, where A is zero, that B writes. The output at step 0 is {at_step_0}.\n\
         {} layers of rank {}, scale {}, in {seconds:.2} s; {data}.\n{training}",
        start.layers.len(),
        experiment.rank,
        start.adapter.scale()
    ))?;
    if experiment.quantize != Quantize::None {
        print(format_args!("The start is for linear maps that are quantised to {}.", experiment.quantize))?;
    }
    if let Some(words) = options_in_words(experiment) {
        print(words)?;
    }
    Ok(())
}

/// The way in which PEFT trains the start.
fn training(form: Form, arguments: &InitArguments) -> String {
    let folder = arguments.output.display();
    match form {
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
    }
}
