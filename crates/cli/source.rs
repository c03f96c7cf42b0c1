//! Reads the settings and the data of an experiment.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use anyhow::{Context, anyhow, bail};
use loralab_core::{
    lab::{self, DataFile},
    lora::{init, peft::Adapter},
};
use loralab_data::{Dataset, Split, Wanted};
use loralab_experiment::{Base, Bytes, Data, Experiment, HeldOut, Resolved};
use loralab_tokenizer::Tokenizer;

use crate::{base, failure::usage, memory, terminal::note};

/// The tokenizer of the shipped bases, and of those that `loralab pretrain` makes.
pub const TOKENIZER: &Tokenizer = &Tokenizer::Bytes;

/// Most tokens of a sequence whose length is fitted to the data.
const MOST_TOKENS: usize = 1024;

/// Most steps that epochs may amount to: above, f64 does not hold every integer.
const MOST_STEPS: f64 = (1_u64 << 53) as f64;

/// The settings, checked: `defaults` < the file < the flags; `tokens` is [`fitted`] to the data.
pub fn experiment(defaults: Experiment, file: Option<&Path>, flags: Experiment) -> anyhow::Result<Resolved> {
    resolve(&fitted(settings(defaults, file, flags)?)?)
}

/// The settings with a length of sequences that fits the data, if they give none and the base has a tokenizer of its own: nearly all examples
/// are whole in it, and it is at most [`MOST_TOKENS`]. A pipe, which can be read only once, is not looked at.
pub fn fitted(mut settings: Experiment) -> anyhow::Result<Experiment> {
    let resolved = resolve(&settings)?;
    let (None, Data::Path(path), Base::Path(_)) = (settings.tokens, &resolved.data, &resolved.base) else {
        return Ok(settings);
    };
    let (tokenizer, wanted) = base::reading(&resolved.base)?;
    if matches!(tokenizer, Tokenizer::Bytes) || !Path::new(path).is_file() {
        return Ok(settings);
    }
    let reader = lab::reader(&resolved, &tokenizer, wanted.as_ref()).map_err(usage)?;
    if let Some(length) = Opened::read(path)?.file().length_of_most(&reader)? {
        let tokens = length.next_multiple_of(8).min(MOST_TOKENS);
        note(format_args!("Sequences have {tokens} tokens, to fit the examples; `--tokens` sets another length."));
        settings.tokens = Some(tokens);
    }
    Ok(settings)
}

/// The settings with their defaults, checked.
pub fn resolve(experiment: &Experiment) -> anyhow::Result<Resolved> {
    lab::resolve(experiment).map_err(usage)
}

/// The unchecked settings: `defaults` < the file < the flags.
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

/// The settings, checked, with the number of steps of `epochs` passes over the training data; and the data, which it reads for that.
pub fn with_epochs(settings: &Experiment, epochs: f64) -> anyhow::Result<(Resolved, Split)> {
    // The warm-up is checked against the steps once they are known.
    let first = resolve(&Experiment { steps: None, warmup_steps: None, ..settings.clone() })?;
    let (tokenizer, wanted) = base::reading(&first.base)?;
    let data = data(&first, &tokenizer, wanted.as_ref())?;
    let steps = (epochs * data.train.sequences(first.tokens) as f64 / first.sequences_per_step() as f64).ceil();
    if steps > MOST_STEPS {
        return Err(usage(format_args!("`--epochs` of {epochs:e} would be {steps:.1e} steps; give a smaller number")));
    }
    let settings = Experiment { steps: Some(steps.max(1.0) as usize), ..settings.clone() };
    Ok((resolve(&settings)?, data))
}

/// The data of an experiment, split into training and validation, the same for every seed; `wanted` as [`lab::wanted`] gives it.
pub fn data(experiment: &Resolved, tokenizer: &Tokenizer, wanted: Option<&Wanted>) -> anyhow::Result<Split> {
    let train = match &experiment.data {
        // A task's examples are generated, so if they don't fit, the setting is wrong.
        Data::Task(_) => return lab::data(experiment, tokenizer, wanted, None, None).map_err(usage),
        Data::Path(path) => Opened::read(path)?,
    };
    let validation = match &experiment.validation {
        HeldOut::Share(_) => None,
        HeldOut::Path(path) => Some(Opened::read(path)?),
    };
    let validation = validation.as_ref().map(Opened::file);
    let split = lab::data(experiment, tokenizer, wanted, Some(train.file()), validation);
    split.map_err(|error| match error {
        lab::DataError::Fields(_) | lab::DataError::Labels(_) => usage(error),
        error => error.into(),
    })
}

/// The data of an experiment without a split, `wanted` as [`lab::wanted`] gives it, with sentences on what was read: a whole file, or the held-out part of a task.
///
/// # Errors
/// If they cannot be read, or do not fit the sequences.
pub fn whole(
    experiment: &Resolved,
    tokenizer: &Tokenizer,
    wanted: Option<&Wanted>,
) -> anyhow::Result<(Dataset, Vec<String>)> {
    let file = match &experiment.data {
        Data::Task(_) => {
            return Ok((lab::data(experiment, tokenizer, wanted, None, None).map_err(usage)?.validation, vec![]));
        }
        Data::Path(path) => Opened::read(path)?,
    };
    let reader = lab::reader(experiment, tokenizer, wanted).map_err(usage)?;
    let found = file.file().read(&reader)?;
    Ok((found.dataset, found.notes))
}

/// A data file; `-` is stdin.
struct Opened {
    name: String,
    is_named: bool,
    bytes: Vec<u8>,
}

impl Opened {
    fn read(path: &str) -> anyhow::Result<Self> {
        let file = Path::new(path);
        // Memory holds the file's bytes, and the tokens, four bytes each, whole and split.
        memory::check_file(file, "data file", 9)?;
        let is_stdin = path == "-";
        let bytes = if is_stdin { all_of(io::stdin().lock(), "stdin")? } else { read(file, "data file")? };
        let name = if is_stdin { "stdin" } else { path }.to_owned();
        Ok(Self { name, is_named: file.is_file() && !is_stdin, bytes })
    }

    fn file(&self) -> DataFile<'_> {
        DataFile { path: &self.name, is_named: self.is_named, bytes: &self.bytes }
    }
}

/// The number of threads; refuses one so large that starting them would exhaust the machine.
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

/// The bytes of a file; `what` names its kind in an error.
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
    // The size of a pipe or a device is unknown before the end.
    match path.is_file() {
        true => std::fs::read(path).map_err(unread),
        false => all_of(File::open(path).map_err(unread)?, &format!("the {what} `{name}`")),
    }
}

/// All bytes of a pipe, up to a limit; `what` names its kind in an error.
fn all_of(pipe: impl Read, what: &str) -> anyhow::Result<Vec<u8>> {
    const MOST: u64 = 1 << 30;
    let mut bytes = Vec::new();
    let read = pipe.take(MOST + 1).read_to_end(&mut bytes).with_context(|| format!("{what} cannot be read"))?;
    if read as u64 > MOST {
        bail!("{what} is no file, and through a pipe at most {} are read; put what it holds into a file", Bytes(MOST));
    }
    Ok(bytes)
}

/// Reads an adapter in PEFT's layout.
///
/// # Errors
/// If the folder or a file of it cannot be read, or the adapter cannot be run.
pub fn adapter(folder: &Path) -> anyhow::Result<Adapter> {
    if !folder.is_dir() {
        return Err(anyhow!(
            "there is no adapter folder `{}`; it must hold adapter_config.json and adapter_model.safetensors, as \
             `adapters/…` in a results folder does",
            folder.display()
        ));
    }
    let config = read(&folder.join("adapter_config.json"), "adapter file")?;
    let tensors = read(&folder.join("adapter_model.safetensors"), "adapter file")?;
    Adapter::from_peft(&String::from_utf8_lossy(&config), &tensors)
        .with_context(|| format!("the adapter `{}` cannot be used", folder.display()))
}
