//! The device that was asked for, opened.

use std::{
    path::Path,
    sync::{Arc, LazyLock},
    time::Instant,
};

use anyhow::Result;
use loralab_core::device::{
    Machine, wait,
    webgpu::{Accelerator, Checks, GpuError, Options, Profile, Wanted, adapters},
};
use loralab_experiment::Bytes;

use crate::{
    args::{Device, DeviceArguments},
    memory, progress, tiles,
};

/// What a GPU with memory of its own surely has; no driver tells.
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

/// Bytes that may be used: what was asked for, else half of what is free; of a GPU with memory of its own, what such a GPU surely has.
pub fn available(machine: &Machine, asked: Option<Bytes>) -> u64 {
    match machine {
        Machine::Gpu(accelerator) if accelerator.found().discrete => asked.map_or(ASSUMED, |Bytes(bytes)| bytes),
        _ => memory::available(asked),
    }
}

/// Whether it is worth asking for a real GPU. On Linux each has a device file, and where there is none a driver's complaints would be all that
/// asking brings.
fn may_have_gpu() -> bool {
    let files = ["/dev/dri", "/dev/nvidiactl", "/dev/dxg"];
    !cfg!(target_os = "linux") || files.iter().any(|file| Path::new(file).exists())
}

/// Opens a GPU; what is wrong with the arguments is told apart from what is wrong with the GPU.
fn gpu(wanted: &Wanted, arguments: &DeviceArguments, quiet: bool) -> Result<Result<Accelerator, GpuError>> {
    let found = match wait(async { wanted.choose(adapters().await) }) {
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
