//! `loralab pretrain`: trains a base from random weights.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Error, Result, bail};
use indicatif::HumanDuration;
use loralab_core::{
    device::{Cpu, wait},
    graph::{
        plan::{Optimizer, Shape},
        tape::{Purpose, Tape},
    },
    lab::train::{self, Pretraining, Validation, validate},
    models::{Adapters, Base, Model, Training, llama::Config},
};
use loralab_data::{Dataset, Split, pretraining};
use loralab_experiment::{Bytes, Experiment, loss_text};

use crate::{
    args::{PretrainArguments, Size},
    failure::{Stopped, usage},
    interrupt::Interrupt,
    memory,
    progress::Steps,
    results::{lock_output, write_whole},
    source,
    terminal::{note, print},
};

/// Seed and length in bytes of the generated text to train on, and of the text to validate with.
pub const TRAIN: (u64, usize) = (0, 4_000_000);
pub const VALIDATION: (u64, usize) = (7, 200_000);

/// Sequences in the validation at the end.
const VALIDATION_SEQUENCES: usize = 512;

/// Trains a base and writes it.
pub fn pretrain(arguments: &PretrainArguments) -> Result<()> {
    let interrupt = Interrupt::listen(arguments.quiet);
    let output = arguments.output.as_path();
    check_output(output, arguments.overwrite)?;
    let settings = settings(arguments)?;
    settings.config.check().map_err(usage)?;
    check_memory(&settings)?;
    let data = match &arguments.data {
        Some(path) => {
            let (data, tokens) = (Some(path.clone()), Some(settings.tokens));
            let settings = arguments.reading.over(Experiment { data, tokens, ..Experiment::default() });
            source::data(&source::resolve(&settings)?, source::TOKENIZER, None)?
        }
        None => {
            let text = |(seed, bytes)| Dataset::Text(pretraining(source::TOKENIZER, seed, bytes));
            Split { train: text(TRAIN), validation: text(VALIDATION), notes: vec![] }
        }
    };
    if !arguments.quiet {
        data.notes.iter().for_each(note);
    }
    // Finds an output that can't be written before the work starts.
    let _lock = lock_output(output)?;
    // Another process may have written there in the meantime.
    check_output(output, arguments.overwrite)?;

    let mut steps = Steps::new("pretraining".to_owned(), settings.steps, arguments.quiet);
    let mut saves = Saves::new(output, arguments.save_every);
    let (mut smooth, mut done, mut loss) = (None, 0, f64::NAN);
    let base = train::pretrain(&settings, &data.train, |step, step_loss, base| {
        (done, loss) = (step, step_loss);
        let mean = smooth.map_or(loss, |mean| 0.98 * mean + 0.02 * loss);
        smooth = Some(mean);
        steps.advance(step, || format!("training loss {}", loss_text(mean)));
        let goes_on = loss.is_finite() && !interrupt.is_pressed();
        if goes_on && step < settings.steps && saves.are_due() {
            saves.save(step, base, arguments.quiet);
        }
        goes_on
    })?;
    steps.end();
    let bytes = base.to_safetensors()?;
    // Reading the bytes back tests that every weight is finite in its stored precision.
    if !loss.is_finite() || Base::from_safetensors(bytes.clone()).is_err() {
        let written = saves.in_words().unwrap_or_else(|| "nothing was written".to_owned());
        bail!("the pretraining diverged at step {done}, so {written}; lower `--learning-rate`");
    }
    // A stopped pretraining does not replace an earlier base.
    let stopped = done < settings.steps;
    let output = if stopped && output.exists() { saves.file.as_path() } else { output };
    write_whole(output, &bytes)?;
    if output != saves.file {
        saves.remove();
    }
    let Validation { loss, accuracy, .. } = validation(&base, &settings, &data.validation)?;
    let printed = print(format_args!(
        "{}: {} weights, {}, {done} steps; validation loss {} nats per token, token accuracy {}",
        output.display(),
        base.model.parameters(),
        Bytes(bytes.len() as u64),
        loss_text(loss),
        accuracy.map_or_else(|| "unknown".to_owned(), |share| format!("{share:.3}"))
    ));
    if stopped {
        if !arguments.quiet {
            note(format_args!("Stopped by {} at step {done} of {}.", interrupt.by(), settings.steps));
        }
        return Err(Stopped.into());
    }
    Ok(printed?)
}

/// Saves the base at intervals in a file beside the output.
struct Saves {
    file: PathBuf,
    every: Duration,
    last: Instant,
    /// The step of the last save.
    step: Option<usize>,
}

impl Saves {
    fn new(output: &Path, minutes: f64) -> Self {
        // An interval that overflows a duration means never.
        let every = Duration::try_from_secs_f64(60.0 * minutes).unwrap_or_default();
        Self { file: unfinished(output), every, last: Instant::now(), step: None }
    }

    fn are_due(&self) -> bool {
        !self.every.is_zero() && self.last.elapsed() >= self.every
    }

    /// Writes the base if its weights are finite. The training continues if it cannot be written.
    fn save(&mut self, step: usize, base: &dyn Fn() -> Base, quiet: bool) {
        let saved = base().to_safetensors().map_err(Error::from).and_then(|bytes| {
            Base::from_safetensors(bytes.clone())?;
            write_whole(&self.file, &bytes)
        });
        self.last = Instant::now();
        match saved {
            Ok(()) => {
                if self.step.is_none() && !quiet {
                    note(format_args!(
                        "The base of step {step} is in `{}`, which is written again every {} and removed at the end.",
                        self.file.display(),
                        HumanDuration(self.every)
                    ));
                }
                self.step = Some(step);
            }
            Err(error) => note(format_args!("The base of step {step} is not saved: {error:#}.")),
        }
    }

    fn in_words(&self) -> Option<String> {
        self.step.map(|step| format!("only the base of step {step} was written, to `{}`", self.file.display()))
    }

    /// Removes the saved file, including that of an earlier pretraining.
    fn remove(&self) {
        let _ = fs::remove_file(&self.file);
    }
}

/// The file of an unfinished pretraining: `little.unfinished.safetensors` for `little.safetensors`.
fn unfinished(output: &Path) -> PathBuf {
    let part = |part: Option<&OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let (stem, extension) = (part(output.file_stem()), part(output.extension()));
    output.with_file_name(format!("{stem}.unfinished")).with_added_extension(extension)
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
    let unfinished = unfinished(output);
    if unfinished.exists() && !overwrite {
        return Err(usage(format_args!(
            "`{}` is there, the base of a pretraining that was cut off: give it another name to keep it, or replace it with `--overwrite`",
            unfinished.display()
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
            vocabulary: source::TOKENIZER.vocabulary(),
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

/// Refuses sizes that exceed memory, before anything of that size is allocated.
fn check_memory(settings: &Pretraining) -> Result<()> {
    let Pretraining { config, sequences, tokens, .. } = settings;
    let mut tape = Tape::new(Shape { runs: 1, sequences: *sequences, tokens: *tokens }, false);
    let model = Model::from(config.clone());
    model.record(&mut tape, Training::Everything);
    let optimizer = Optimizer::AdamW { beta1: 0.9, beta2: 0.95, epsilon: 1e-8 };
    let needs = Cpu::<f32>::needs(&tape.compile(Purpose::Train(optimizer)), &[], settings.threads);
    let needed: u64 = needs.terms.iter().map(|cost| cost.per_run.saturating_add(cost.shared)).sum();
    let available = memory::available(None);
    if needed > available {
        return Err(usage(format_args!(
            "training {} weights on {sequences} sequences of {tokens} tokens needs {}, but only {} may be used; choose smaller \
             sizes",
            model.parameters(),
            Bytes(needed),
            Bytes(available)
        )));
    }
    Ok(())
}

/// Loss and accuracy of the base, with its stored weights, on held-out text.
pub fn validation(base: &Base, settings: &Pretraining, held_out: &Dataset) -> Result<Validation> {
    let (sequences, tokens) = (settings.sequences, settings.tokens);
    let batches = loralab_data::validation(held_out, sequences, tokens, VALIDATION_SEQUENCES)?;
    let mut tape = Tape::new(Shape { runs: 1, sequences, tokens }, false);
    base.model.record(&mut tape, Training::Adapters(base, &Adapters::new(1, vec![])));
    let plan = Arc::new(tape.compile(Purpose::Evaluate));
    let mut device = Cpu::<f32>::new(plan, base.tensors.clone(), settings.threads);
    wait(validate(&mut device, 1, &batches))?[0].context("the base cannot be validated")
}
