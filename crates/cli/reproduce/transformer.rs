//! `loralab reproduce transformer`.

use std::{fs, time::Instant};

use anyhow::{Error, Result, bail};
use loralab_core::{
    lab::train::{self, Pretraining},
    models::{Base, llama::Config},
};
use loralab_data::Dataset;
use loralab_experiment::{CrossingFound, DecoderWidth, Experiment, Reproduction, Resolved, Seeds, Transformer};

use super::{
    Watch,
    crossing::{self, sweep_output},
    finish,
};
use crate::{
    args::{ReproduceOutput, TransformerArguments},
    failure::usage,
    grid::{Cells, train_grid},
    interrupt::Interrupt,
    prepare::{prepare, with_base},
    pretrain::{TRAIN, VALIDATION, validation},
    results::Results,
    resume::Begun,
    search, source,
};

/// Columns of a head; widths are multiples of it.
const HEAD: usize = 16;
/// Sequences per pretraining step, and tokens per sequence.
const BATCH: [usize; 2] = [32, 64];
/// A pretraining rate and the width that it suits; at k times that width it is divided by √k.
const RATE: (f64, f64) = (8e-3, 32.0);

/// Pretrains the decoders, sweeps over them and the shipped base, and writes down what came of it.
pub fn reproduce(arguments: &TransformerArguments, begun: &Begun) -> Result<()> {
    let TransformerArguments { widths, layers, pretraining_steps, grid, settings, device, output } = arguments;
    refuse(arguments)?;
    search::refuse(grid.learning_rates.as_deref(), "reproduce transformer")?;
    let defaults = Experiment { seeds: Some(Seeds::Count(3)), ..crossing::defaults() };
    let flags = grid.over(settings.experiment());
    let experiment = source::experiment(defaults, settings.config.as_deref(), flags)?;
    search::refuse_stops(&experiment, "reproduce transformer")?;
    let interrupt = Interrupt::listen(output.quiet);
    let mut results = output.claim(begun)?;
    let started = Instant::now();
    let shipped = prepare(&experiment, device, output.quiet || output.json)?;
    let resumes = output.resume.is_some();
    let of_sweep = |name: &str| Results::open(&output.output.join(name), output.overwrite, resumes, None);

    let text = |(seed, bytes)| Dataset::Text(loralab_data::pretraining(source::TOKENIZER, seed, bytes));
    let (train, held_out) = (text(TRAIN), text(VALIDATION));
    let mut of_widths = Vec::with_capacity(widths.len());
    for &width in widths {
        let pretraining = pretraining(width, *layers, *pretraining_steps, &experiment);
        let (file, name) = (format!("width-{width}.safetensors"), format!("pretraining width {width}"));
        let known = Some(results.place().join(&file)).filter(|file| resumes && file.is_file());
        let (base, stopped) = match known {
            Some(file) => (Base::from_safetensors(fs::read(&file)?)?, false),
            None => pretrained(&pretraining, &train, Watch::new(output, &interrupt, &name, *pretraining_steps))?,
        };
        if stopped && of_widths.is_empty() {
            return Err(output.stopped_early(&interrupt, &results));
        } else if stopped {
            return Err(stopped_at(width, output, &interrupt));
        }
        let loss = validation(&base, &pretraining, &held_out)?.loss;
        if !loss.is_finite() {
            bail!("the decoder of width {width} diverged in its pretraining; leave that width out of `--widths`");
        }
        results.write_command()?;
        results.write(&file, &base.to_safetensors()?)?;
        results.replace_earlier()?;
        let file = results.folder().join(file);
        let experiment =
            Resolved { base: loralab_experiment::Base::Path(file.display().to_string()), ..experiment.clone() };
        let searches = grid.learning_rates.is_none();
        let name = format!("width-{width}");
        let folder = of_sweep(&name)?;
        let experiment = output.widened(experiment, &output.output.join(name), searches)?;
        let prepared = with_base(&shipped, &experiment)?;
        let shown = sweep_output(output);
        let cells = if searches { Cells::Searched } else { Cells::All };
        let mut trained = train_grid(&experiment, cells, &prepared, device, folder, &shown, &interrupt)?;
        trained.complete(output.quiet)?;
        of_widths.push(DecoderWidth {
            width,
            parameters: base.model.parameters(),
            pretraining_loss: loss,
            summary: trained.summary,
        });
    }
    let (folder, shown) = (of_sweep("shipped")?, sweep_output(output));
    let experiment = output.widened(experiment, &output.output.join("shipped"), false)?;
    let mut trained = train_grid(&experiment, Cells::All, &shipped, device, folder, &shown, &interrupt)?;
    trained.complete(output.quiet)?;
    let found = Transformer {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        device: shipped.machine.describe(),
        wall_seconds: started.elapsed().as_secs_f64(),
        layers: *layers,
        head_size: HEAD,
        pretraining_steps: *pretraining_steps,
        pretraining_batch: BATCH,
        widths: of_widths,
        shipped: CrossingFound::new(trained.summary, trained.experiment.to_experiment(), &trained.runs),
    };
    finish(output, results, &Reproduction::Transformer(found))
}

/// The error after a stop in the pretraining of a width.
fn stopped_at(width: usize, output: &ReproduceOutput, interrupt: &Interrupt) -> Error {
    let folder = output.output.display();
    let left = format_args!(
        "`{folder}` has the sweeps of the widths before {width}, each in a folder that `loralab report` takes"
    );
    output.stopped(interrupt, left)
}

/// A base, and true if its pretraining was stopped.
fn pretrained(pretraining: &Pretraining, train: &Dataset, mut watch: Watch) -> Result<(Base, bool)> {
    let mut stopped = false;
    let base = train::pretrain(pretraining, train, None, |pretrained| {
        stopped = watch.done(pretrained.step).is_break();
        !stopped
    })?;
    watch.end();
    Ok((base, stopped))
}

fn refuse(arguments: &TransformerArguments) -> Result<()> {
    const WIDEST: usize = 1024;
    let TransformerArguments { widths, layers, pretraining_steps, .. } = arguments;
    let fits = |width: &usize| width.is_multiple_of(HEAD) && (HEAD..=WIDEST).contains(width);
    if let Some(width) = widths.iter().find(|width| !fits(width)) {
        return Err(usage(format_args!(
            "`--widths` has {width}, but a width must be a multiple of {HEAD} up to {WIDEST}; for example `--widths 32,64`"
        )));
    }
    if !widths.is_sorted_by(|one, other| one < other) {
        return Err(usage("`--widths` must rise, each once; for example `--widths 32,64`"));
    }
    if *layers == 0 || *layers > 64 {
        return Err(usage(format_args!(
            "`--layers` is {layers}, but it must be from 1 to 64; for example `--layers 2`"
        )));
    }
    if *pretraining_steps == 0 || *pretraining_steps > 1_000_000 {
        return Err(usage(format_args!(
            "`--pretraining-steps` is {pretraining_steps}, but it must be from 1 to 1000000; for example `--pretraining-steps 1000`"
        )));
    }
    Ok(())
}

fn pretraining(width: usize, layers: usize, steps: usize, experiment: &Resolved) -> Pretraining {
    let heads = width / HEAD;
    Pretraining {
        config: Config {
            vocabulary: source::TOKENIZER.vocabulary(),
            width,
            layers,
            heads,
            kv_heads: heads,
            // 8/3 of the width, as usual in Llama, rounded up to a multiple of 16.
            feed_forward: (8 * width).div_ceil(3 * HEAD) * HEAD,
            rope_theta: 10_000.0,
            epsilon: 1e-5,
            tied: true,
            tokens: BATCH[1],
        },
        sequences: BATCH[0],
        tokens: BATCH[1],
        steps,
        learning_rate: RATE.0 / (width as f64 / RATE.1).sqrt(),
        weight_decay: 0.05,
        seed: 0,
        threads: experiment.threads.map(Into::into),
    }
}
