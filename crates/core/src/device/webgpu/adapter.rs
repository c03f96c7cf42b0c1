//! Listing the GPUs and selecting one.

use std::fmt;

use super::GpuError;
use crate::graph::shader::{Tile, Tiles};

/// NVIDIA's number among PCI vendors, <https://pcisig.com/membership/member-companies>.
const NVIDIA: u32 = 0x10DE;

/// The GPU to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The first hardware GPU: discrete before integrated. Never a software renderer.
    Hardware,
    /// The best available GPU; a software renderer if there is no other.
    Any,
    /// The GPU at this index of the list, from 0.
    At(usize),
    /// The first whose name contains this text, ignoring case. A suffix in brackets at the end of a name, which describes the driver, is not searched, but the
    /// full name with the suffix matches too.
    Named(String),
}

/// An available GPU.
#[derive(Clone)]
pub struct Found {
    pub(super) adapter: wgpu::Adapter,
    /// Name of the GPU.
    pub name: String,
    /// Vulkan, Metal, DirectX 12 or WebGPU.
    pub backend: String,
    /// The driver and its version; empty in a browser.
    pub driver: String,
    /// Discrete, integrated, virtual or software.
    pub kind: &'static str,
    /// Its place on the PCI bus, as `0000:65:00.0`; empty if the driver does not say it.
    pub bus: String,
    /// True for a GPU of NVIDIA.
    pub nvidia: bool,
    /// True for a software renderer on the CPU.
    pub software: bool,
    /// True for a discrete GPU, which has memory of its own.
    pub discrete: bool,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Found { name, kind, backend, driver, .. } = self;
        let driver = if driver.is_empty() { String::new() } else { format!(", {driver}") };
        write!(f, "{name}, {kind} ({backend}{driver})")
    }
}

impl Found {
    fn new(adapter: wgpu::Adapter) -> Found {
        let info = adapter.get_info();
        let kind = match info.device_type {
            wgpu::DeviceType::DiscreteGpu => "discrete",
            wgpu::DeviceType::IntegratedGpu => "integrated",
            wgpu::DeviceType::VirtualGpu => "virtual",
            wgpu::DeviceType::Cpu => "software",
            wgpu::DeviceType::Other => "of unknown kind",
        };
        // Browsers may hide the name.
        let name = if info.name.is_empty() { "the browser's GPU".to_owned() } else { info.name };
        Found {
            adapter,
            name,
            backend: match info.backend {
                wgpu::Backend::Dx12 => "DirectX 12".to_owned(),
                wgpu::Backend::BrowserWebGpu => "WebGPU".to_owned(),
                other => format!("{other:?}"),
            },
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            kind,
            bus: info.device_pci_bus_id,
            nvidia: info.vendor == NVIDIA,
            software: info.device_type == wgpu::DeviceType::Cpu,
            discrete: info.device_type == wgpu::DeviceType::DiscreteGpu,
        }
    }

    /// Default tiles without timing: small, so that a workgroup needs few registers. A software renderer runs one workgroup per core at a time,
    /// so large tiles, which use each loaded element more often, are faster there.
    pub fn tiles(&self) -> Tiles {
        Tiles::all(if self.software { Tile::Large } else { Tile::Square })
    }

    /// The limits of the GPU.
    pub fn limits(&self) -> wgpu::Limits {
        self.adapter.limits()
    }

    /// Names of the optional features that loralab uses and this GPU has.
    pub fn features(&self) -> Vec<&'static str> {
        let features = self.adapter.features();
        [
            (wgpu::Features::TIMESTAMP_QUERY, "timestamps"),
            (wgpu::Features::SHADER_F16, "f16"),
            (wgpu::Features::SUBGROUP, "subgroups"),
            (wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX, "cooperative matrices"),
        ]
        .into_iter()
        .filter_map(|(feature, name)| features.contains(feature).then_some(name))
        .collect()
    }

    /// Rank in the order of preference; lower is better.
    fn rank(&self) -> u8 {
        match self.kind {
            "discrete" => 0,
            "integrated" => 1,
            "virtual" => 2,
            "software" => 4,
            _ => 3,
        }
    }
}

/// All GPUs, the best first; equals in the driver's order.
pub async fn adapters() -> Vec<Found> {
    let descriptor = wgpu::InstanceDescriptor {
        backends: wgpu::Backends::VULKAN
            | wgpu::Backends::METAL
            | wgpu::Backends::DX12
            | wgpu::Backends::BROWSER_WEBGPU,
        // Debug builds would name objects by default. Vulkan's loader handles names with lists that it changes without a lock while another thread opens a
        // GPU, so they are off here; `WGPU_DEBUG` and `WGPU_VALIDATION` turn them on.
        flags: wgpu::InstanceFlags::empty().with_env(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    };
    let instance = wgpu::Instance::new(descriptor);
    // A browser returns a single adapter of its choice, and only on request.
    let found = if cfg!(target_family = "wasm") {
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        instance.request_adapter(&options).await.into_iter().collect()
    } else {
        instance.enumerate_adapters(wgpu::Backends::all()).await
    };
    let mut found: Vec<Found> = found.into_iter().map(Found::new).collect();
    found.sort_by_key(Found::rank);
    found
}

impl Wanted {
    /// Selects a GPU from `found`.
    ///
    /// # Errors
    /// If none matches; the error lists the names of the available GPUs.
    pub fn choose(&self, found: Vec<Found>) -> Result<Found, GpuError> {
        if found.is_empty() {
            return Err(GpuError::NoAdapter);
        }
        let names = found.iter().enumerate().map(|(index, found)| format!("{index}: {} ({})", found.name, found.kind));
        let names = names.collect::<Vec<_>>().join(", ");
        let chosen = found.into_iter().enumerate().find(|(index, found)| match self {
            Wanted::Any => true,
            Wanted::Hardware => !found.software,
            Wanted::At(wanted) => index == wanted,
            Wanted::Named(words) => is_called(&found.name, words),
        });
        chosen.map(|(_, found)| found).ok_or_else(|| match self {
            Wanted::Named(words) => GpuError::NoSuchAdapter { wanted: words.clone(), found: names },
            Wanted::At(wanted) => GpuError::NoSuchAdapter { wanted: wanted.to_string(), found: names },
            _ => GpuError::NoAdapter,
        })
    }
}

/// True if `words` select a GPU of this name.
fn is_called(name: &str, words: &str) -> bool {
    let (name, words) = (name.to_ascii_lowercase(), words.to_ascii_lowercase());
    let own = match name.rsplit_once(" (") {
        Some((own, driver)) if driver.ends_with(')') => own,
        _ => &name,
    };
    own.contains(&words) || name == words
}

#[cfg(test)]
mod tests {
    use super::is_called;

    #[test]
    fn names_are_told_from_drivers() {
        let software = "llvmpipe (LLVM 15.0.6, 256 bits)";
        for words in ["llvm", "LLVMpipe", "llvmpipe (LLVM 15.0.6, 256 bits)"] {
            assert!(is_called(software, words), "{words}");
        }
        for words in ["0", "15", "256 bits", "bits)", "llvm 15", "("] {
            assert!(!is_called(software, words), "{words}");
        }
        assert!(is_called("Intel(R) UHD Graphics 620 (KBL GT2)", "intel(r) uhd"));
        assert!(is_called("AMD Radeon RX 6800 XT (RADV NAVI21)", "6800"));
        assert!(!is_called("AMD Radeon RX 6800 XT (RADV NAVI21)", "navi21"));
        assert!(is_called("NVIDIA H200", "h200"));
    }
}
