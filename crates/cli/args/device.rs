//! The arguments that choose the device.

use std::{convert::Infallible, path::PathBuf, str::FromStr};

use clap::Args;
use loralab_core::{device::webgpu::Wanted, graph::shader::Tile};

/// The flags of the device.
#[derive(Debug, Args)]
#[command(next_help_heading = "Machine")]
pub struct DeviceArguments {
    /// auto (a hardware GPU if there is one, else the CPU), cpu, gpu (a software GPU if there is no other), or gpu:NAME or gpu:NUMBER as `loralab devices`
    /// lists them
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: Device,
    /// On a GPU, run shaders without index checks; `loralab verify --unchecked` tests whether that is safe
    #[arg(long)]
    pub unchecked: bool,
    /// Tile sizes of large products on a GPU: 64x64, 128x64, 128x128, timed (the fastest for each shape, timed once per GPU and then stored), or the
    /// `tiles.txt` of a result, to repeat its training [default: 64x64; on a software GPU 128x128]
    #[arg(long, value_name = "TILES")]
    pub tiles: Option<Tiles>,
}

/// A value of `--device`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// A hardware GPU if there is one, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU.
    Gpu(Wanted),
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "auto" => Ok(Device::Auto),
            "cpu" => Ok(Device::Cpu),
            "gpu" => Ok(Device::Gpu(Wanted::Any)),
            other => match other.strip_prefix("gpu:").map(str::trim) {
                Some(name) if !name.is_empty() => {
                    Ok(Device::Gpu(name.parse().map_or_else(|_| Wanted::Named(name.to_owned()), Wanted::At)))
                }
                _ => Err(
                    "it must be auto, cpu, gpu, or gpu: and part of a name or the number that `loralab devices` lists"
                        .to_owned(),
                ),
            },
        }
    }
}

/// A value of `--tiles`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tiles {
    /// One tile for all products.
    All(Tile),
    /// The fastest tile for each product.
    Timed,
    /// The tiles in this file.
    File(PathBuf),
}

impl FromStr for Tiles {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Tiles, Infallible> {
        Ok(match text.trim() {
            "timed" => Tiles::Timed,
            other => other.parse().map_or_else(|_| Tiles::File(other.into()), Tiles::All),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_in_words() {
        let gpu = |name: &str| Ok(Device::Gpu(Wanted::Named(name.to_owned())));
        assert_eq!("auto".parse(), Ok(Device::Auto));
        assert_eq!("cpu".parse(), Ok(Device::Cpu));
        assert_eq!("gpu".parse(), Ok(Device::Gpu(Wanted::Any)));
        assert_eq!("gpu:H100".parse(), gpu("H100"));
        assert_eq!("gpu: RTX 5080 ".parse(), gpu("RTX 5080"));
        assert_eq!("gpu:0".parse(), Ok(Device::Gpu(Wanted::At(0))));
        assert_eq!("gpu:-1".parse(), gpu("-1"));
        for wrong in ["", "gpu:", "cuda", "GPU"] {
            assert!(Device::from_str(wrong).is_err_and(|sentence| sentence.contains("`loralab devices`")), "{wrong}");
        }
    }

    #[test]
    fn tiles_are_named_by_their_sides() {
        assert_eq!("64x64".parse(), Ok(Tiles::All(Tile::Square)));
        assert_eq!("128x64".parse(), Ok(Tiles::All(Tile::Tall)));
        assert_eq!(" timed ".parse(), Ok(Tiles::Timed));
        assert_eq!("results/tiles.txt".parse(), Ok(Tiles::File("results/tiles.txt".into())));
    }
}
