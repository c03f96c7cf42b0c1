//! An experiment with the files that it names read, its sizes held against memory, and its device opened.

use anyhow::{Error, Result};
use loralab_core::lab::{Prepared, SweepError};
use loralab_data::Split;
use loralab_experiment::{Data, Resolved};

use crate::{
    device::{self, DeviceArguments},
    failure::usage,
    memory, source,
};

/// Reads what the experiment names, and opens the device; unless quiet, it shows how far that is.
pub fn prepare(experiment: &Resolved, device: &DeviceArguments, quiet: bool) -> Result<Prepared> {
    with_data(experiment, None, device, quiet)
}

/// The same where the data may have been read before.
pub fn with_data(
    experiment: &Resolved,
    data: Option<Split>,
    device: &DeviceArguments,
    quiet: bool,
) -> Result<Prepared> {
    let (base, base_name) = source::base(&experiment.base)?;
    experiment.targets(&base.model.targets()).map_err(usage)?;
    let threads = source::threads(experiment.threads.map(Into::into))?;
    // What is wrong with the settings is said before a device is looked for.
    let free = memory::available(experiment.memory);
    memory::check(experiment, &base, free)?;
    let data = data.map_or_else(|| source::data(experiment), Ok)?;
    memory::check_data(experiment, &base, &data, free)?;
    let machine = device::open(device, threads, quiet)?;
    let available = device::available(&machine, experiment.memory);
    Ok(Prepared { base, base_name, data, available, machine })
}

/// The same with another base, on the same device and data.
pub fn with_base(prepared: &Prepared, experiment: &Resolved) -> Result<Prepared> {
    let (base, base_name) = source::base(&experiment.base)?;
    experiment.targets(&base.model.targets()).map_err(usage)?;
    memory::check(experiment, &base, prepared.available)?;
    Ok(Prepared { base, base_name, ..prepared.clone() })
}

/// Data of a file that do not fit are a failure; everything else that a sweep refuses is a setting.
pub fn refused(error: SweepError, experiment: &Resolved) -> Error {
    match (&error, &experiment.data) {
        (SweepError::Data(_), Data::Path(path)) => Error::new(error).context(path.clone()),
        (SweepError::Device(_), _) => Error::new(error),
        _ => usage(error),
    }
}
