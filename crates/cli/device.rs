//! The device that was asked for, opened.

use std::{
    path::Path,
    str::FromStr,
    sync::{Arc, LazyLock},
    time::Instant,
};

use anyhow::Result;
use clap::Args;
use loralab_core::device::{
    Machine, wait,
    webgpu::{Accelerator, Checks, GpuError, Options, Profile, Wanted, adapters},
};
use loralab_experiment::Bytes;

use crate::{memory, progress, tiles};

/// What a GPU with memory of its own surely has; no driver tells.
const ASSUMED: u64 = 4 << 30;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Where the work is done.
#[derive(Debug, Args)]
#[command(next_help_heading = "Machine")]
pub struct DeviceArguments {
    /// auto (a real GPU if there is one, else the CPU), cpu, gpu (a software one if there is no other), or gpu:NAME or gpu:NUMBER as `loralab devices`
    /// lists them
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: Choice,
    /// On a GPU, run shaders without checks of indices; `loralab verify --unchecked` shows whether that is safe there
    #[arg(long)]
    pub unchecked: bool,
    /// How a GPU cuts large products: 64x64, 128x64, 128x128, timed (the fastest for each shape, timed once on a GPU and then kept), or the
    /// `tiles.txt` of a result, to train as it did [default: 64x64; on a software GPU 128x128]
    #[arg(long, value_name = "TILES")]
    pub tiles: Option<tiles::Choice>,
}

/// Which device to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// A GPU if there is a real one, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU.
    Gpu(Wanted),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "auto" => Ok(Choice::Auto),
            "cpu" => Ok(Choice::Cpu),
            "gpu" => Ok(Choice::Gpu(Wanted::Any)),
            other => match other.strip_prefix("gpu:").map(str::trim) {
                Some(name) if !name.is_empty() => {
                    Ok(Choice::Gpu(name.parse().map_or_else(|_| Wanted::Named(name.to_owned()), Wanted::At)))
                }
                _ => Err(
                    "it must be auto, cpu, gpu, or gpu: and part of a name or the number that `loralab devices` lists"
                        .to_owned(),
                ),
            },
        }
    }
}

/// Opens what was asked for; unless quiet, shows how far its kernels are compiled.
///
/// # Errors
/// If there is no such device, or it cannot be opened.
pub fn open(arguments: &DeviceArguments, threads: Option<usize>, quiet: bool) -> Result<Machine> {
    match &arguments.device {
        Choice::Cpu => Ok(Machine::Cpu(threads)),
        Choice::Auto if !may_have_gpu() => Ok(Machine::Cpu(threads)),
        Choice::Auto => {
            Ok(gpu(&Wanted::Hardware, arguments, quiet)?
                .map_or(Machine::Cpu(threads), |gpu| Machine::Gpu(Arc::new(gpu))))
        }
        Choice::Gpu(wanted) => Ok(Machine::Gpu(Arc::new(gpu(wanted, arguments, quiet)??))),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_in_words() {
        let gpu = |name: &str| Ok(Choice::Gpu(Wanted::Named(name.to_owned())));
        assert_eq!("auto".parse(), Ok(Choice::Auto));
        assert_eq!("cpu".parse(), Ok(Choice::Cpu));
        assert_eq!("gpu".parse(), Ok(Choice::Gpu(Wanted::Any)));
        assert_eq!("gpu:H100".parse(), gpu("H100"));
        assert_eq!("gpu: RTX 5080 ".parse(), gpu("RTX 5080"));
        assert_eq!("gpu:0".parse(), Ok(Choice::Gpu(Wanted::At(0))));
        assert_eq!("gpu:-1".parse(), gpu("-1"));
        for wrong in ["", "gpu:", "cuda", "GPU"] {
            assert!(Choice::from_str(wrong).is_err_and(|sentence| sentence.contains("`loralab devices`")), "{wrong}");
        }
    }
}
