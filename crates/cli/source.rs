//! What an experiment names, read: its settings, its base, its data.

use std::{io, path::Path};

use anyhow::{Context, anyhow, bail};
use loralab_core::{lora::init, models};
use loralab_data::{Dataset, HELD_OUT, Split, Task};
use loralab_experiment::{Base, Data, Experiment, Resolved, nearest};
use loralab_tokenizer::Tokenizer;

use crate::{failure::usage, memory};

/// What every base reads its texts with.
pub const TOKENIZER: &Tokenizer = &Tokenizer::Bytes;

const TINY: &[u8] = include_bytes!("../core/bases/tiny.safetensors");
const NANO: &[u8] = include_bytes!("../core/bases/nano.safetensors");

/// Examples that a task is made of, and the seed that fixes them and what is held out.
const TASK_EXAMPLES: usize = 4096;
const DATA_SEED: u64 = 0;

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
    // A float beyond the largest whole number becomes that.
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
    let unusable = || format!("the base `{name}` cannot be used");
    let base = base.with_context(unusable)?;
    TOKENIZER.check(base.model.vocabulary()).with_context(unusable)?;
    Ok((base, name.to_owned()))
}

/// The data of an experiment, the same for every seed of a run, in a part to train on and one to validate with.
pub fn data(experiment: &Resolved) -> anyhow::Result<Split> {
    let tokens = experiment.tokens;
    match &experiment.data {
        Data::Task(task) => {
            let task = Task::find(task.name())?;
            let examples = Dataset::Examples(task.examples(TOKENIZER, DATA_SEED, TASK_EXAMPLES));
            // The examples are ours, so what does not fit is the setting.
            examples.split(DATA_SEED, HELD_OUT, tokens).map_err(|error| {
                usage(format_args!("`tokens` is {tokens}, too few for the task {}: {error}", task.name()))
            })
        }
        Data::Path(path) => file(Path::new(path), tokens),
    }
}

/// The data in a file: JSON lines where its name ends so, else a text; what looks structured is refused.
pub fn file(path: &Path, tokens: usize) -> anyhow::Result<Split> {
    // Its bytes, and the tokens, which have four bytes each, whole and in parts.
    memory::check_file(path, "data file", 9)?;
    let bytes = read(path, "data file")?;
    let dataset = Dataset::file(&path.to_string_lossy(), &bytes, TOKENIZER, tokens);
    let split = dataset.and_then(|dataset| dataset.split(DATA_SEED, HELD_OUT, tokens));
    split.map_err(|error| anyhow!("{}: {error}", path.display()))
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
    std::fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => anyhow!("there is no {what} `{name}`; check the path"),
        io::ErrorKind::PermissionDenied => anyhow!("the {what} `{name}` may not be read; check its permissions"),
        _ => anyhow!("the {what} `{name}` cannot be read: {error}"),
    })
}
