//! `loralab pretrain`: trains a base from random weights.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Error, Result, bail};
use loralab_core::{
    device::{Cpu, wait},
    graph::{
        plan::{Optimizer, Shape},
        tape::{Purpose, Tape},
    },
    lab::{
        Snapshot,
        train::{self, CohortState, Pretrained, Pretraining, Validation, validate},
    },
    models::{Adapters, Base, Model, Training, llama::Config},
};
use loralab_data::{Dataset, Split, pretraining};
use loralab_experiment::{Bytes, Experiment, loss_text};

use crate::{
    args::{PretrainArguments, Size},
    durable::write_whole,
    failure::{Stopped, usage},
    interrupt::Interrupt,
    memory,
    progress::Steps,
    results::lock_output,
    resume::{Begun, beside},
    source,
    state::{Facts, State, States, check_data, fingerprint},
    terminal::{note, print},
};

/// Seed and length in bytes of the generated text to train on, and of the text to validate with.
pub const TRAIN: (u64, usize) = (0, 4_000_000);
pub const VALIDATION: (u64, usize) = (7, 200_000);

/// Sequences in the validation at the end.
const VALIDATION_SEQUENCES: usize = 512;

/// Trains a base and writes it.
pub fn pretrain(arguments: &PretrainArguments, begun: &Begun) -> Result<()> {
    let interrupt = Interrupt::listen(arguments.quiet);
    let output = arguments.output()?;
    let resumes = arguments.resume.is_some();
    check_output(output, arguments.overwrite, resumes)?;
    let settings = settings(arguments)?;
    settings.config.check().map_err(usage)?;
    check_memory(&settings)?;
    let data = data(arguments, &settings)?;
    if !arguments.quiet {
        data.notes.iter().for_each(note);
    }
    // Finds an output that can't be written before the work starts.
    let _lock = lock_output(output)?;
    // Another process may have written there in the meantime.
    check_output(output, arguments.overwrite, resumes)?;

    let mut saves = Saves::new(output, arguments, &data.train);
    if !resumes {
        saves.remove();
    }
    let from = saves.load()?;
    begun.write(&beside(output))?;
    let mut steps = Steps::new("pretraining".to_owned(), settings.steps, arguments.quiet);
    let (mut smooth, mut done, mut loss) = (None, from.as_ref().map_or(0, |from| from.step), f64::NAN);
    if let Some(from) = &from
        && !arguments.quiet
    {
        note(format_args!("Continued after step {} of {}.", from.step, settings.steps));
    }
    let base = train::pretrain(&settings, &data.train, from.as_ref(), |pretrained| {
        (done, loss) = (pretrained.step, pretrained.loss);
        let mean = smooth.map_or(loss, |mean| 0.98 * mean + 0.02 * loss);
        smooth = Some(mean);
        steps.advance(done, || format!("training loss {}", loss_text(mean)));
        let stops = interrupt.is_pressed();
        if loss.is_finite() && done < settings.steps && (stops || saves.are_due()) {
            saves.save(pretrained);
        }
        loss.is_finite() && !stops
    })?;
    steps.end();
    if done < settings.steps && loss.is_finite() {
        if !arguments.quiet {
            let goes_on = begun.continuing(output);
            note(format_args!(
                "Stopped by {} at step {done} of {}: `{goes_on}` goes on.",
                interrupt.by(),
                settings.steps
            ));
        }
        return Err(Stopped::by(interrupt.by(), true).into());
    }
    let bytes = base.to_safetensors()?;
    // Reading the bytes back tests that every weight is finite in its stored precision.
    if Base::from_safetensors(bytes.clone()).is_err() {
        saves.remove();
        bail!("the pretraining diverged at step {done}, so nothing was written; lower `--learning-rate`");
    }
    write_whole(output, &bytes)?;
    saves.remove();
    let Validation { loss, accuracy, .. } = validation(&base, &settings, &data.validation)?;
    print(format_args!(
        "{}: {} weights, {}, {done} steps; validation loss {} nats per token, token accuracy {}",
        output.display(),
        base.model.parameters(),
        Bytes(bytes.len() as u64),
        loss_text(loss),
        accuracy.map_or_else(|| "unknown".to_owned(), |share| format!("{share:.3}"))
    ))?;
    Ok(())
}

/// The data to train on and to validate with.
fn data(arguments: &PretrainArguments, settings: &Pretraining) -> Result<Split> {
    let text = |(seed, bytes)| Dataset::Text(pretraining(source::TOKENIZER, seed, bytes));
    let Some(path) = &arguments.data else {
        return Ok(Split { train: text(TRAIN), validation: text(VALIDATION), notes: vec![] });
    };
    let (data, tokens) = (Some(path.clone()), Some(settings.tokens));
    let settings = arguments.reading.over(Experiment { data, tokens, ..Experiment::default() });
    source::data(&source::resolve(&settings)?, source::TOKENIZER, None)
}

/// Saves the state at intervals, in files beside the output.
struct Saves {
    states: States,
    /// The file with the command that continues it.
    command: PathBuf,
    /// The data's fingerprint.
    data: String,
    every: Duration,
    last: Instant,
    earlier: f64,
    unsaved: bool,
}

impl Saves {
    fn new(output: &Path, arguments: &PretrainArguments, train: &Dataset) -> Self {
        // An interval that overflows a duration means never.
        let every = Duration::try_from_secs_f64(60.0 * arguments.save_every).unwrap_or_default();
        let (states, command, data) = (States::of_file(output), beside(output), fingerprint(train));
        Self { states, command, data, every, last: Instant::now(), earlier: 0.0, unsaved: false }
    }

    /// The state to continue from.
    fn load(&mut self) -> Result<Option<CohortState>> {
        let Some(State { facts, bytes }) = self.states.load() else { return Ok(None) };
        self.earlier = facts.seconds;
        check_data(&facts, &self.data)?;
        Ok(Some(Snapshot::from_bytes(&bytes)?.state))
    }

    fn are_due(&self) -> bool {
        !self.every.is_zero() && self.last.elapsed() >= self.every
    }

    /// Saves the state. The training continues if it cannot be written.
    fn save(&mut self, pretrained: &mut Pretrained<'_>) {
        self.earlier += self.last.elapsed().as_secs_f64();
        self.last = Instant::now();
        let facts = Facts { seconds: self.earlier, data: self.data.clone(), ..Facts::default() };
        let state = wait(pretrained.state()).map_err(Error::from);
        let saved = state.and_then(|state| {
            let best = vec![None; state.runs.len()];
            let snapshot = Snapshot { cohort: 0, results: vec![], running: vec![], state, best };
            self.states.save(&State { facts, bytes: snapshot.to_bytes() })
        });
        if let Err(error) = saved
            && !std::mem::replace(&mut self.unsaved, true)
        {
            note(format_args!("The state of step {} is not saved: {error:#}.", pretrained.step));
        }
    }

    /// Removes what is saved.
    fn remove(&self) {
        self.states.remove();
        let _ = fs::remove_file(&self.command);
    }
}

fn check_output(output: &Path, overwrite: bool, resumes: bool) -> Result<()> {
    let name = output.display();
    if output.is_dir() || output.file_name().is_none() {
        return Err(usage(format_args!("`--output {name}` is a folder, but the name of a file is needed")));
    }
    if overwrite || resumes {
        return Ok(());
    }
    if output.exists() {
        return Err(usage(format_args!(
            "the file `{name}` exists; choose another `--output`, or replace it with `--overwrite`"
        )));
    }
    if beside(output).exists() {
        return Err(usage(format_args!(
            "a pretraining of `{name}` was cut off: go on with `loralab pretrain --resume {name}`, or begin anew with `--overwrite`"
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
