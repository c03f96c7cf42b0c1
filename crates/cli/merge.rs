//! `loralab merge`: a model with an adapter in its weights, in the model's own layout.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Error, Result, bail};
use loralab_checkpoint::{Bytes, files, read_safetensors, rewrite_safetensors, stream_safetensors};
use loralab_core::{
    lora::merge::Merge,
    models::{BaseError, Model},
};

use crate::{
    args::MergeArguments,
    base::{self, Weights},
    dry_run::counted,
    durable::fill_folder,
    interrupt,
    results::{Results, lock_output},
    source,
    terminal::{note, print},
};

/// Ends of names of files with weights, which would be those of the model without the adapter.
const WEIGHTS: [&str; 10] =
    [".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx", ".ckpt", ".index.json"];

/// Merges the adapter, and writes the folder.
pub fn merge(arguments: &MergeArguments) -> Result<()> {
    let MergeArguments { model: name, adapter: folder, output } = arguments;
    Results::check_free(output, "")?;
    let Weights { folder: beside, files: weights, checkpoint } = base::weights(name)?;
    let unusable = || format!("the model `{name}` cannot be merged with");
    let config = checkpoint.metadata.get("config").ok_or(BaseError::NoConfig).with_context(unusable)?;
    let model = Model::from_json(config).with_context(unusable)?;
    let adapter = source::adapter(folder)?;
    let merge = Merge::new(&model, &checkpoint.tensors, &adapter)
        .with_context(|| format!("the adapter `{}` cannot be merged into `{name}`", folder.display()))?;
    if merge.classifier().is_some() && weights.len() > 1 {
        bail!(
            "the adapter has a classifier, which is merged into a model of one file only, but `{name}` has {}; use it unmerged",
            weights.len()
        );
    }
    let others = beside.map_or_else(|| Ok(Others::default()), |beside| Others::of(&beside, &weights))?;

    interrupt::end_when_asked("nothing is written");
    let _lock = lock_output(output)?;
    fill_folder(output, |partial| {
        for (file, bytes) in &weights {
            write_merged(&partial.join(file), bytes, &merge)?;
        }
        for file in &others.copied {
            let name = file.file_name().unwrap_or_default();
            fs::copy(file, partial.join(name)).with_context(|| format!("`{}` cannot be copied", file.display()))?;
        }
        match merge.classifier() {
            Some(classifier) => fs::write(partial.join("config.json"), &classifier.config)?,
            None if !partial.join("config.json").exists() => fs::write(partial.join("config.json"), config)?,
            None => {}
        }
        // A folder that can be opened has every tensor at its place.
        files::open(partial).map(|_| ()).context("what was written cannot be read again")
    })?;
    if !others.left.is_empty() {
        note(format_args!("Not copied, since the adapter is not in them: {}.", others.left.join(", ")));
    }
    print(format_args!(
        "{}: {name} with {} of `{}` in its weights{}.",
        output.display(),
        counted(adapter.modules.len(), "module"),
        folder.display(),
        merge.classifier().map_or("", |_| ", and its classifier")
    ))?;
    Ok(())
}

/// Writes a file of weights with the adapter in it.
fn write_merged(path: &Path, bytes: &Bytes, merge: &Merge<'_>) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    match merge.classifier() {
        None => rewrite_safetensors::<Error>(bytes, &mut file, |stored| Ok(merge.of(stored)?))?,
        Some(classifier) => {
            let mut checkpoint = read_safetensors(bytes)?;
            // The config that a file of this program holds is that without the classes.
            checkpoint.metadata.entry("config".to_owned()).and_modify(|config| config.clone_from(&classifier.config));
            checkpoint.tensors.retain(|own| classifier.tensors.iter().all(|tensor| tensor.name != own.name));
            checkpoint.tensors.extend(classifier.tensors.iter().cloned());
            stream_safetensors::<Error>(&checkpoint, &mut file, |stored| Ok(merge.of(stored)?))?;
        }
    }
    file.flush()?;
    Ok(file.get_ref().sync_all()?)
}

/// The files beside a model's weights.
#[derive(Default)]
struct Others {
    copied: Vec<PathBuf>,
    /// Names of those that hold the weights once more, and of folders.
    left: Vec<String>,
}

impl Others {
    fn of(folder: &Path, weights: &[(String, Bytes)]) -> Result<Others> {
        let mut others = Others::default();
        let unread = || format!("the folder `{}` cannot be read", folder.display());
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>).with_context(unread)?;
        let paths: BTreeSet<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
        for file in paths {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if weights.iter().any(|(weights, _)| *weights == name) {
                continue;
            }
            let is_index = name == "model.safetensors.index.json" && weights.len() > 1;
            match file.is_file() && (is_index || !WEIGHTS.iter().any(|end| name.ends_with(end))) {
                true => others.copied.push(file),
                false => others.left.push(name),
            }
        }
        Ok(others)
    }
}
