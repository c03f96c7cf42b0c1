//! The device that was asked for, opened.

use std::{
    path::Path,
    str::FromStr,
    sync::{Arc, LazyLock},
    time::Instant,
};

use anyhow::{Result, anyhow};
use loralab_core::{
    device::{Answer, Cpu, Device, Gpu, Needs, wait},
    gpu::{Accelerator, Checks, Options, Profile, Wanted, adapters},
    memory::Tensor,
    plan::Plan,
};
use loralab_experiment::Bytes;

use crate::{args::DeviceArguments, memory};

/// What a GPU with memory of its own surely has; no driver tells.
const ASSUMED: u64 = 4 << 30;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

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
                Some(name) if !name.is_empty() => Ok(Choice::Gpu(Wanted::Named(name.to_owned()))),
                _ => {
                    Err("it must be auto, cpu, gpu, or gpu: and part of a name that `loralab devices` lists".to_owned())
                }
            },
        }
    }
}

/// An opened device.
pub enum Chosen {
    /// So many threads; none for all.
    Cpu(Option<usize>),
    /// A GPU.
    Gpu(Arc<Accelerator>),
}

impl Chosen {
    /// Opens what was asked for.
    ///
    /// # Errors
    /// If there is no such device, or it cannot be opened.
    pub fn open(arguments: &DeviceArguments, threads: Option<usize>) -> Result<Chosen> {
        match &arguments.device {
            Choice::Cpu => Ok(Chosen::Cpu(threads)),
            Choice::Auto if !may_have_gpu() => Ok(Chosen::Cpu(threads)),
            Choice::Auto => Ok(gpu(&Wanted::Hardware, arguments.unchecked).map_or(Chosen::Cpu(threads), Chosen::Gpu)),
            Choice::Gpu(wanted) => Ok(Chosen::Gpu(gpu(wanted, arguments.unchecked)?)),
        }
    }

    /// What a plan needs there.
    pub fn needs(&self, plan: &Plan, base: &[Tensor]) -> Needs {
        match self {
            Chosen::Cpu(threads) => Cpu::<f32>::needs(plan, base, *threads),
            Chosen::Gpu(accelerator) => Gpu::needs(accelerator, plan, base),
        }
    }

    /// A device for a plan.
    pub fn make(&self, plan: Arc<Plan>, base: Arc<[Tensor]>) -> Answer<'_, Box<dyn Device>> {
        Box::pin(async move {
            Ok(match self {
                Chosen::Cpu(threads) => Box::new(Cpu::<f32>::new(plan, base, *threads)) as Box<dyn Device>,
                Chosen::Gpu(accelerator) => Box::new(Gpu::new(accelerator.clone(), plan, base).await?),
            })
        })
    }

    /// Bytes that may be used: what was asked for, else half of what is free; of a GPU with memory of its own, what such a GPU surely has.
    pub fn available(&self, asked: Option<Bytes>) -> u64 {
        match self {
            Chosen::Gpu(accelerator) if accelerator.found().discrete => asked.map_or(ASSUMED, |Bytes(bytes)| bytes),
            _ => memory::available(asked),
        }
    }
}

/// Whether it is worth asking for a real GPU. On Linux each has a device file, and where there is none a driver's complaints would be all that
/// asking brings.
fn may_have_gpu() -> bool {
    let files = ["/dev/dri", "/dev/nvidiactl", "/dev/dxg"];
    !cfg!(target_os = "linux") || files.iter().any(|file| Path::new(file).exists())
}

fn gpu(wanted: &Wanted, unchecked: bool) -> Result<Arc<Accelerator>> {
    let options = Options {
        profile: Profile::Native,
        checks: if unchecked { Checks::Off } else { Checks::On },
        clock: || START.elapsed().as_secs_f64(),
    };
    let opened = wait(async { Accelerator::open(wanted.choose(adapters().await)?, options).await });
    opened.map(Arc::new).map_err(|error| anyhow!(error))
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
        for wrong in ["", "gpu:", "cuda", "GPU"] {
            assert!(Choice::from_str(wrong).is_err_and(|sentence| sentence.contains("`loralab devices`")), "{wrong}");
        }
    }
}
