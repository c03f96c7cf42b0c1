//! The device that `--device` names.

use std::{
    path::Path,
    sync::{Arc, LazyLock},
    time::Instant,
};

use anyhow::Result;
use loralab_core::device::{
    Machine, wait,
    webgpu::{Accelerator, Checks, Found, GpuError, Options, Profile, Wanted, adapters},
};
use loralab_experiment::Bytes;

use crate::{
    args::{Device, DeviceArguments},
    failure::usage,
    memory, progress,
    terminal::note,
    tiles,
    visible::{self, Gpu},
};

/// Bytes that any GPU with its own memory has; drivers do not report the size.
const ASSUMED: u64 = 4 << 30;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Opens what was asked for; unless quiet, shows how far its kernels are compiled.
///
/// # Errors
/// If there is no such device, or it cannot be opened.
pub fn open(arguments: &DeviceArguments, threads: Option<usize>, quiet: bool) -> Result<Machine> {
    match &arguments.device {
        Device::Cpu => Ok(Machine::Cpu(threads)),
        Device::Auto if !may_have_gpu() => Ok(Machine::Cpu(threads)),
        Device::Auto => {
            Ok(gpu(&Wanted::Hardware, arguments, quiet)?
                .map_or(Machine::Cpu(threads), |gpu| Machine::Gpu(Arc::new(gpu))))
        }
        Device::Gpu(wanted) => Ok(Machine::Gpu(Arc::new(gpu(wanted, arguments, quiet)??))),
    }
}

/// Bytes that may be used: `asked`, else 4 GiB on a GPU with its own memory, else half of the free memory.
pub fn available(machine: &Machine, asked: Option<Bytes>) -> u64 {
    match machine {
        Machine::Gpu(accelerator) if accelerator.found().discrete => asked.map_or(ASSUMED, |Bytes(bytes)| bytes),
        _ => memory::available(asked),
    }
}

/// False if there is certainly no hardware GPU: on Linux each has a device file. Without one, a search would only print the drivers' complaints.
fn may_have_gpu() -> bool {
    let files = ["/dev/dri", "/dev/nvidiactl", "/dev/dxg"];
    !cfg!(target_os = "linux") || files.iter().any(|file| Path::new(file).exists())
}

/// The GPUs that this process may use without being told which, and a sentence where an engine chose among them.
///
/// # Errors
/// If it cannot be told which the engine chose.
pub fn given(found: Vec<Found>) -> Result<(Vec<Found>, Option<String>)> {
    let gpus = found.iter().map(|gpu| {
        let Found { name, nvidia, software, bus, .. } = gpu;
        Gpu { name, nvidia: *nvidia, software: *software, bus }
    });
    let gpus: Vec<Gpu<'_>> = gpus.collect();
    let chosen = visible::chosen(|name| std::env::var(name).ok(), &gpus, &visible::uuids()).map_err(usage)?;
    let Some((indices, words)) = chosen else { return Ok((found, None)) };
    Ok((indices.into_iter().map(|index| found[index].clone()).collect(), Some(words)))
}

/// Opens a GPU. The outer error is about the arguments, the inner one about the GPU.
fn gpu(wanted: &Wanted, arguments: &DeviceArguments, quiet: bool) -> Result<Result<Accelerator, GpuError>> {
    let mut found = wait(adapters());
    if matches!(wanted, Wanted::Any | Wanted::Hardware) {
        let (given, words) = given(found)?;
        found = given;
        words.into_iter().filter(|_| !quiet).for_each(note);
    }
    let found = match wanted.choose(found) {
        Ok(found) => found,
        Err(error) => return Ok(Err(error)),
    };
    let checks = if arguments.unchecked { Checks::Off } else { Checks::On };
    let options = Options {
        profile: Profile::Native,
        checks,
        tiling: tiles::tiling(arguments.tiles.as_ref(), &found, checks)?,
        clock: || START.elapsed().as_secs_f64(),
        building: if quiet { |_, _| {} } else { progress::kernels },
    };
    Ok(wait(Accelerator::open(found, options)))
}
