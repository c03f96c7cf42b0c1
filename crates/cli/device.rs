//! The device that `--device` names.

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

/// Bytes that any GPU with its own memory has; drivers do not report the size.
const ASSUMED: u64 = 4 << 30;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The flags of the device.
#[derive(Debug, Args)]
#[command(next_help_heading = "Machine")]
pub struct DeviceArguments {
    /// auto (a hardware GPU if there is one, else the CPU), cpu, gpu (a software GPU if there is no other), or gpu:NAME or gpu:NUMBER as `loralab devices`
    /// lists them
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: Choice,
    /// On a GPU, run shaders without index checks; `loralab verify --unchecked` tests whether that is safe
    #[arg(long)]
    pub unchecked: bool,
    /// Tile sizes of large products on a GPU: 64x64, 128x64, 128x128, timed (the fastest for each shape, timed once per GPU and then stored), or the
    /// `tiles.txt` of a result, to repeat its training [default: 64x64; on a software GPU 128x128]
    #[arg(long, value_name = "TILES")]
    pub tiles: Option<tiles::Choice>,
}

/// A value of `--device`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// A hardware GPU if there is one, else the CPU.
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

/// Opens the chosen device; unless quiet, shows the progress of compiling its kernels.
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

/// Opens a GPU. The outer error is about the arguments, the inner one about the GPU.
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
