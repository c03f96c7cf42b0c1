//! `loralab pretrain`: a base trained from nothing.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result, bail};
use loralab_core::{
    device::{Cpu, wait},
    model::{Adapters, Base, Config, Training, decoder},
    plan::{Optimizer, Shape},
    tape::{Purpose, Tape},
    train::{self, Pretraining, Validation, validate},
};
use loralab_data::{Dataset, Split, pretraining, tokenizer};
use loralab_experiment::{Bytes, loss_text};

use crate::{
    args::{PretrainArguments, Size},
    failure::{Stopped, usage},
    interrupt::Interrupt,
    memory,
    progress::Steps,
    results::{probe, write_whole},
    source,
    terminal::print,
};

/// The little world's text: its seed and length, and those of the text to validate with.
pub const TRAIN: (u64, usize) = (0, 4_000_000);
pub const VALIDATION: (u64, usize) = (7, 200_000);

/// Sequences in the validation at the end.
const VALIDATION_SEQUENCES: usize = 512;

/// Trains a base and writes it.
pub fn pretrain(arguments: &PretrainArguments) -> Result<()> {
    let output = arguments.output.as_path();
    check_output(output, arguments.overwrite)?;
    let settings = settings(arguments)?;
    settings.config.check().map_err(usage)?;
    check_memory(&settings)?;
    let data = match &arguments.data {
        Some(path) => source::file(Path::new(path), settings.tokens)?,
        None => {
            let text = |(seed, bytes)| Dataset::Text(pretraining(seed, bytes));
            Split { train: text(TRAIN), validation: text(VALIDATION) }
        }
    };
    // What cannot be written is better known before the work than after it.
    probe(output)?;

    let interrupt = Interrupt::listen(arguments.quiet);
    let mut steps = Steps::new("pretraining".to_owned(), settings.steps, arguments.quiet);
    let (mut smooth, mut done, mut loss) = (None, 0, f64::NAN);
    let base = train::pretrain(&settings, &data.train, |step, step_loss| {
        (done, loss) = (step, step_loss);
        let mean = smooth.map_or(loss, |mean| 0.98 * mean + 0.02 * loss);
        smooth = Some(mean);
        steps.advance(step, || format!("training loss {}", loss_text(mean)));
        loss.is_finite() && !interrupt.is_pressed()
    })?;
    steps.end();
    let bytes = base.to_safetensors()?;
    // Reading it again is the test that every weight is finite in the precision it is stored in.
    if !loss.is_finite() || Base::from_safetensors(&bytes).is_err() {
        bail!("the pretraining diverged at step {done}, so nothing was written; lower `--learning-rate`");
    }
    let Validation { loss, accuracy } = validation(&base, &settings, &data.validation)?;
    write_whole(output, &bytes)?;
    print(format_args!(
        "{}: {} weights, {}, {done} steps; validation loss {} nats per byte, token accuracy {}",
        output.display(),
        base.config.parameters(),
        Bytes(bytes.len() as u64),
        loss_text(loss),
        accuracy.map_or_else(|| "unknown".to_owned(), |share| format!("{share:.3}"))
    ))?;
    if done < settings.steps { Err(Stopped.into()) } else { Ok(()) }
}

fn check_output(output: &Path, overwrite: bool) -> Result<()> {
    let name = output.display();
    if output.is_dir() || output.file_name().is_none() {
        return Err(usage(format_args!("`--output {name}` is a folder, but the name of a file is needed")));
    }
    if output.exists() && !overwrite {
        return Err(usage(format_args!(
            "the file `{name}` exists; choose another `--output`, or replace it with `--overwrite`"
        )));
    }
    Ok(())
}

fn settings(arguments: &PretrainArguments) -> Result<Pretraining> {
    let (layers, width, heads, feed_forward, learning_rate) = match arguments.size {
        Size::Tiny => (4, 96, 4, 256, 4e-3),
        Size::Nano => (2, 32, 2, 80, 8e-3),
    };
    let heads = arguments.heads.unwrap_or(heads);
    Ok(Pretraining {
        config: Config {
            vocabulary: tokenizer::VOCABULARY,
            width: arguments.width.unwrap_or(width),
            layers: arguments.layers.unwrap_or(layers),
            heads,
            kv_heads: arguments.kv_heads.unwrap_or(heads),
            feed_forward: arguments.feed_forward.unwrap_or(feed_forward),
            rope_theta: 10_000.0,
            epsilon: 1e-5,
            tied: true,
            tokens: arguments.tokens,
        },
        sequences: arguments.batch_size,
        tokens: arguments.tokens,
        steps: arguments.steps,
        learning_rate: arguments.learning_rate.unwrap_or(learning_rate),
        weight_decay: arguments.weight_decay,
        seed: arguments.seed,
        threads: source::threads(arguments.threads)?,
    })
}

/// Refuses sizes that memory does not hold, before anything of that size is made.
fn check_memory(settings: &Pretraining) -> Result<()> {
    let Pretraining { config, sequences, tokens, .. } = settings;
    let mut tape = Tape::new(Shape { runs: 1, sequences: *sequences, tokens: *tokens }, false);
    decoder(&mut tape, config, Training::Everything);
    let optimizer = Optimizer::AdamW { beta1: 0.9, beta2: 0.95, epsilon: 1e-8 };
    let needs = Cpu::<f32>::needs(&tape.compile(Purpose::Train(optimizer)), &[], settings.threads);
    let needed: u64 = needs.terms.iter().map(|cost| cost.per_run.saturating_add(cost.shared)).sum();
    let available = memory::available(None);
    if needed > available {
        return Err(usage(format_args!(
            "training {} weights on {sequences} sequences of {tokens} tokens needs {}, but only {} may be used; choose smaller \
             sizes",
            config.parameters(),
            Bytes(needed),
            Bytes(available)
        )));
    }
    Ok(())
}

/// How well the base does on held-out text, with the weights as they are stored.
pub fn validation(base: &Base, settings: &Pretraining, held_out: &Dataset) -> Result<Validation> {
    let (sequences, tokens) = (settings.sequences, settings.tokens);
    let batches = loralab_data::validation(held_out, sequences, tokens, VALIDATION_SEQUENCES)?;
    let mut tape = Tape::new(Shape { runs: 1, sequences, tokens }, false);
    decoder(&mut tape, &base.config, Training::Adapters(base, &Adapters { rank: 1, target_modules: vec![] }));
    let plan = Arc::new(tape.compile(Purpose::Predict));
    let mut device = Cpu::<f32>::new(plan, base.tensors.clone(), settings.threads);
    wait(validate(&mut device, 1, &batches))?[0].context("the base cannot be validated")
}
