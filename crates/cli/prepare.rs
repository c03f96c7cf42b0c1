//! Prepares an experiment: reads its files, checks its sizes against memory, and opens its device.

use anyhow::{Error, Result};
use loralab_core::lab::{Prepared, SweepError, adapted, check_length, for_labels, quantiser};
use loralab_data::Split;
use loralab_experiment::{Data, Resolved};

use crate::{
    args::DeviceArguments,
    base::{self, Loaded},
    device,
    failure::usage,
    memory, source,
};

/// Reads the files of the experiment and opens the device; unless quiet, shows the progress.
pub fn prepare(experiment: &Resolved, device: &DeviceArguments, quiet: bool) -> Result<Prepared> {
    with_data(experiment, None, device, quiet)
}

/// Like [`prepare`], with `data` that are read already, if given.
pub fn with_data(
    experiment: &Resolved,
    data: Option<Split>,
    device: &DeviceArguments,
    quiet: bool,
) -> Result<Prepared> {
    let Loaded { base, name: base_name, tokenizer } = base::load(&experiment.base, quantiser(experiment.quantize))?;
    adapted(&base, experiment).map_err(usage)?;
    check_length(&base, experiment).map_err(usage)?;
    let threads = source::threads(experiment.threads.map(Into::into))?;
    // Errors in the settings come before the search for a device.
    let free = memory::available(experiment.memory);
    memory::check(experiment, &base, free)?;
    let data = data.map_or_else(|| source::data(experiment, &tokenizer, base::wanted_of(&base).as_ref()), Ok)?;
    let base = for_labels(base, &[&data.train, &data.validation])?;
    memory::check_data(experiment, &base, &data, free)?;
    let machine = device::open(device, threads, quiet)?;
    let available = device::available(&machine, experiment.memory);
    Ok(Prepared { base, base_name, tokenizer, data, available, machine, adapter: None })
}

/// The same device and data with the base that `experiment` names.
pub fn with_base(prepared: &Prepared, experiment: &Resolved) -> Result<Prepared> {
    let Loaded { base, name: base_name, tokenizer } = base::load(&experiment.base, quantiser(experiment.quantize))?;
    adapted(&base, experiment).map_err(usage)?;
    check_length(&base, experiment).map_err(usage)?;
    let base = for_labels(base, &[&prepared.data.train, &prepared.data.validation])?;
    memory::check(experiment, &base, prepared.available)?;
    Ok(Prepared { base, base_name, tokenizer, ..prepared.clone() })
}

/// The error for a refused sweep: a failure if a file's data do not fit, else a usage error.
pub fn refused(error: SweepError, experiment: &Resolved) -> Error {
    match (&error, &experiment.data) {
        (SweepError::Data(_), Data::Path(path)) => Error::new(error).context(path.clone()),
        (SweepError::Device(_), _) => Error::new(error),
        _ => usage(error),
    }
}
