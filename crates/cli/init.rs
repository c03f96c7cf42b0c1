//! `loralab init`: the start of an adapter by itself, for whoever trains it.

use std::time::Instant;

use anyhow::Result;
use loralab_core::device::wait;
use loralab_experiment::Experiment;

use crate::{
    args::InitArguments,
    failure::usage,
    results::{BASE, Results, write_adapter, write_whole},
    source,
    sweep::Prepared,
    terminal::print,
};

/// Computes a start, writes it, and prints what it is, layer by layer.
pub fn init(arguments: &InitArguments) -> Result<()> {
    let experiment = source::experiment(Experiment::default(), None, arguments.experiment())?;
    if experiment.schemes.len() != 1 {
        return Err(usage("`init` starts one adapter by one scheme; name one that `loralab schemes` lists"));
    }
    Results::check(&arguments.output, false)?;
    let prepared = Prepared::new(&experiment, &arguments.device, false)?;
    let began = Instant::now();
    let begun = wait(prepared.begin(&experiment))?;
    let seconds = began.elapsed().as_secs_f64();
    write_adapter(&arguments.output, &begun.adapter)?;
    if let Some(base) = &begun.base {
        write_whole(&arguments.output.join(BASE), &base.to_safetensors()?)?;
    }

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
    } else {
        format!("that of weights moved by up to {moved:.1e} of their norm")
    };
    let data = match begun.tokens {
        0 => "no data were used".to_owned(),
        tokens => format!("{tokens} tokens of data went through the model"),
    };
    print(format_args!(
        "\nenergy is the share of ‖W‖² that A reads or, where A is zero, that B writes. The output at step 0 is {at_step_0}.\n\
         {} layers of rank {}, scale {}, in {seconds:.2} s; {data}. PEFT loads `{}` onto {}.",
        begun.layers.len(),
        experiment.rank,
        begun.adapter.scale(),
        arguments.output.display(),
        if begun.base.is_some() { format!("the base beside it, {BASE}") } else { "the untouched base".to_owned() }
    ))?;
    Ok(())
}
