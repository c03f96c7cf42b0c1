//! What an experiment names, read: its settings, its base, its data.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use anyhow::{Context, anyhow, bail};
use loralab_core::{lora::init, models};
use loralab_data::{Dataset, HELD_OUT, Split, Task, tokenizer};
use loralab_experiment::{Base, Bytes, Data, Experiment, Resolved, nearest};

use crate::{failure::usage, memory};

const TINY: &[u8] = include_bytes!("../core/bases/tiny.safetensors");
const NANO: &[u8] = include_bytes!("../core/bases/nano.safetensors");

/// Examples that a task is made of, and the seed that fixes them and what is held out.
const TASK_EXAMPLES: usize = 4096;
const DATA_SEED: u64 = 0;

/// Most steps that epochs may be: floats count no further one by one.
const MOST_STEPS: f64 = (1_u64 << 53) as f64;

/// The settings, checked: `defaults` < the file < the flags.
pub fn experiment(defaults: Experiment, file: Option<&Path>, flags: Experiment) -> anyhow::Result<Resolved> {
    resolve(&settings(defaults, file, flags)?)
}

/// The settings with their defaults, checked.
pub fn resolve(experiment: &Experiment) -> anyhow::Result<Resolved> {
    let schemes: Vec<&str> = init::ALL.iter().map(|scheme| scheme.name).collect();
    experiment.resolve(&schemes).map_err(usage)
}

/// The settings as they are written: `defaults` < the file < the flags.
pub fn settings(defaults: Experiment, file: Option<&Path>, flags: Experiment) -> anyhow::Result<Experiment> {
    let mut experiment = defaults;
    if let Some(path) = file {
        let bytes = read(path, "config file")?;
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            usage(format_args!(
                "{}: byte {} is not part of a UTF-8 text; a config file is TOML, `name = value` lines",
                path.display(),
                error.valid_up_to()
            ))
        })?;
        let file = Experiment::from_toml(text).map_err(|error| usage(format_args!("{}: {error}", path.display())))?;
        experiment = experiment.merge(file);
    }
    Ok(experiment.merge(flags))
}

/// The settings checked, with as many steps as `epochs` passes over the training data take; and these data, which are then read.
pub fn with_epochs(settings: &Experiment, epochs: f64) -> anyhow::Result<(Resolved, Split)> {
    // A warm-up is held to the steps once they are known.
    let first = resolve(&Experiment { steps: None, warmup_steps: None, ..settings.clone() })?;
    let data = data(&first)?;
    let steps = (epochs * data.train.sequences(first.tokens) as f64 / first.sequences_per_step() as f64).ceil();
    if steps > MOST_STEPS {
        return Err(usage(format_args!("`--epochs` of {epochs:e} would be {steps:.1e} steps; give a smaller number")));
    }
    let settings = Experiment { steps: Some(steps.max(1.0) as usize), ..settings.clone() };
    Ok((resolve(&settings)?, data))
}

/// A base, and the name that adapters remember it by.
pub fn base(base: &Base) -> anyhow::Result<(models::Base, String)> {
    let (name, base) = match base {
        Base::Tiny => ("tiny", models::Base::from_safetensors(TINY)),
        Base::Nano => ("nano", models::Base::from_safetensors(NANO)),
        Base::Path(path) => {
            if !Path::new(path).exists() {
                if is_hub_name(path) {
                    bail!(
                        "there is no base `{path}` here, and models are not fetched from Hugging Face by their names: \
                         name a safetensors file on this machine, of a model that reads bytes"
                    );
                }
                let nearest = nearest(path, ["tiny", "nano"]);
                let remedy = nearest.map_or_else(
                    || "Check the path, or make a base with `loralab pretrain`.".to_owned(),
                    |name| format!("Did you mean `{name}`?"),
                );
                bail!("there is no base `{path}`: it is neither a shipped one (tiny, nano) nor a file. {remedy}");
            }
            crate::base::check(Path::new(path))?;
            memory::check_file(Path::new(path), "base", 2)?;
            (path.as_str(), models::Base::from_safetensors(&read(Path::new(path), "base")?))
        }
    };
    let base = base.with_context(|| format!("the base `{name}` cannot be used"))?;
    if base.model.vocabulary() != tokenizer::VOCABULARY {
        bail!(
            "the base `{name}` has a vocabulary of {} tokens, but only bases that read bytes ({} tokens) can be used",
            base.model.vocabulary(),
            tokenizer::VOCABULARY
        );
    }
    Ok((base, name.to_owned()))
}

/// Whether it looks like `owner/model`.
fn is_hub_name(name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    let [owner, model] = parts[..] else { return false };
    let is_word = |part: &str| part.chars().any(char::is_alphanumeric) && !part.starts_with('.');
    is_word(owner) && is_word(model) && !model.ends_with(".safetensors") && !Path::new(owner).exists()
}

/// The data of an experiment, the same for every seed of a run, in a part to train on and one to validate with.
pub fn data(experiment: &Resolved) -> anyhow::Result<Split> {
    let tokens = experiment.tokens;
    match &experiment.data {
        Data::Task(task) => {
            let task = Task::find(task.name())?;
            let examples = Dataset::Examples(task.examples(DATA_SEED, TASK_EXAMPLES));
            // The examples are ours, so what does not fit is the setting.
            examples.split(DATA_SEED, HELD_OUT, tokens).map_err(|error| {
                usage(format_args!("`tokens` is {tokens}, too few for the task {}: {error}", task.name()))
            })
        }
        Data::Path(path) => file(Path::new(path), tokens),
    }
}

/// The data in a file: JSON lines where its name ends so, else a text; what looks structured is refused. Data from a pipe are what they look like; `-` is
/// stdin.
pub fn file(path: &Path, tokens: usize) -> anyhow::Result<Split> {
    // Once as it is in the file, once as data, and once in parts.
    memory::check_file(path, "data file", 3)?;
    let is_stdin = path == Path::new("-");
    let is_named = path.is_file();
    let bytes = if is_stdin { all_of(io::stdin().lock(), "stdin")? } else { read(path, "data file")? };
    let dataset = match is_named && !is_stdin {
        true => Dataset::file(&path.to_string_lossy(), &bytes, tokens),
        false => Dataset::unnamed(&bytes, tokens),
    };
    let split = dataset.and_then(|dataset| dataset.split(DATA_SEED, HELD_OUT, tokens));
    split.map_err(|error| anyhow!("{}: {error}", if is_stdin { "stdin".into() } else { path.to_string_lossy() }))
}

/// The number of threads, unless it is so large that starting them would take all there is.
pub fn threads(asked: Option<usize>) -> anyhow::Result<Option<usize>> {
    const MOST: usize = 1024;
    match asked {
        Some(threads) if threads > MOST => Err(usage(format_args!(
            "`threads` is {threads}, but at most {MOST} are started; one for each core is best"
        ))),
        Some(threads) => {
            init::use_threads(threads);
            Ok(asked)
        }
        None => Ok(None),
    }
}

/// The bytes of a file; `what` it is to the one who named it.
pub fn read(path: &Path, what: &str) -> anyhow::Result<Vec<u8>> {
    let name = path.display();
    if path.is_dir() {
        bail!("the {what} `{name}` is a folder, but a file is needed; name the file in it");
    }
    let unread = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => anyhow!("there is no {what} `{name}`; check the path"),
        io::ErrorKind::PermissionDenied => anyhow!("the {what} `{name}` may not be read; check its permissions"),
        _ => anyhow!("the {what} `{name}` cannot be read: {error}"),
    };
    // The size of a pipe or a device is not known before it is read.
    match path.is_file() {
        true => std::fs::read(path).map_err(unread),
        false => all_of(File::open(path).map_err(unread)?, &format!("the {what} `{name}`")),
    }
}

/// All that comes through a pipe, unless that does not end; `what` it is.
fn all_of(pipe: impl Read, what: &str) -> anyhow::Result<Vec<u8>> {
    const MOST: u64 = 1 << 30;
    let mut bytes = Vec::new();
    let read = pipe.take(MOST + 1).read_to_end(&mut bytes).with_context(|| format!("{what} cannot be read"))?;
    if read as u64 > MOST {
        bail!("{what} is no file, and through a pipe at most {} are read; put what it holds into a file", Bytes(MOST));
    }
    Ok(bytes)
}
