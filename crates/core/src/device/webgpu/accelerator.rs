//! An opened GPU.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Filler, Found, GpuError, Pipeline,
    fault::{Faults, meaning, one_line},
};
use crate::graph::shader::{Tile, Tiles};

/// The limits that are requested from the GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// The limits that every WebGPU browser grants: 8 storage buffers, bindings of 128 MiB, 256 invocations, 16 KiB of workgroup memory.
    WebBase,
    /// All that the GPU supports.
    Native,
}

/// Index checks in shaders. Loops are never checked: they are known to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// With checks.
    On,
    /// Without checks: faster on some drivers, for shaders that passed their tests with checks. Browsers check nevertheless.
    Off,
}

/// The choice of tiles for matrix products.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tiling {
    /// The given tiles.
    Given(Tiles),
    /// The given tiles; each product that is not among them is timed once.
    Timed(Tiles),
}

/// Options for opening a GPU.
#[derive(Clone, Debug)]
pub struct Options {
    /// Requested limits.
    pub profile: Profile,
    /// Index checks.
    pub checks: Checks,
    /// Choice of tiles.
    pub tiling: Tiling,
    /// A clock in seconds, from any origin: the core has no clock of its own.
    pub clock: fn() -> f64,
    /// Progress callback (pipelines built, pipelines in all), called before each pipeline and after the last. Some drivers take seconds per pipeline.
    pub building: fn(usize, usize),
}

/// Pipelines by the name of their shader and its constants.
pub type Pipelines = HashMap<(&'static str, Vec<u32>), Arc<Pipeline>>;

/// An opened GPU, and the pipelines that were built on it.
pub struct Accelerator {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) faults: Faults,
    pub(super) pipelines: Mutex<Pipelines>,
    pub(super) filler: Mutex<Option<Filler>>,
    pub(super) sources: HashMap<String, String>,
    tiles: Mutex<Tiles>,
    largest_part: u64,
    options: Options,
    found: Found,
}

impl Accelerator {
    /// Opens a GPU.
    ///
    /// # Errors
    /// If the driver refuses.
    pub async fn open(found: Found, options: Options) -> Result<Accelerator, GpuError> {
        let available = found.adapter.limits();
        let required_limits = match options.profile {
            Profile::Native => available,
            // A browser's alignments are coarser than those of some drivers; requesting them changes nothing natively.
            Profile::WebBase => wgpu::Limits::defaults(),
        };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("loralab"),
            required_features: found.adapter.features() & wgpu::Features::TIMESTAMP_QUERY,
            required_limits,
            memory_hints: wgpu::MemoryHints::Performance,
            ..Default::default()
        };
        let refused = |error: wgpu::RequestDeviceError| GpuError::Refused {
            gpu: found.name.clone(),
            reason: one_line(&error.to_string()),
        };
        let (device, queue) = found.adapter.request_device(&descriptor).await.map_err(refused)?;
        let faults = Faults::default();
        let (uncaptured, lost) = (faults.clone(), faults.clone());
        let (gpu, of_lost) = (found.name.clone(), found.name.clone());
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| uncaptured.report(meaning(&gpu, &error))));
        device.set_device_lost_callback(move |reason, message| {
            // Dropping a device destroys it, which is no fault.
            if reason != wgpu::DeviceLostReason::Destroyed {
                lost.report(GpuError::Lost { gpu: of_lost.clone(), reason: one_line(&message) });
            }
        });
        let (pipelines, filler, sources) = (Mutex::default(), Mutex::default(), HashMap::new());
        let (Tiling::Given(tiles) | Tiling::Timed(tiles)) = &options.tiling;
        let tiles = Mutex::new(tiles.clone());
        Ok(Accelerator {
            device,
            queue,
            faults,
            pipelines,
            filler,
            sources,
            tiles,
            largest_part: u64::MAX,
            options,
            found,
        })
    }

    /// Replaces the text of a shader, for tests that a broken shader is detected.
    pub fn replace_source(&mut self, shader: &str, source: String) {
        self.sources.insert(shader.to_owned(), source);
        self.filler = Mutex::default();
        if let Ok(pipelines) = self.pipelines.get_mut() {
            pipelines.retain(|(name, _), _| *name != shader);
        }
    }

    /// Name of the GPU.
    pub fn name(&self) -> &str {
        &self.found.name
    }

    /// The GPU that was opened.
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// The options that it was opened with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The tiles of products, including those timed so far.
    pub fn tiles(&self) -> Tiles {
        self.tiles.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets the tile of a product.
    pub fn pick_tile(&self, product: String, tile: Tile) {
        self.tiles.lock().unwrap_or_else(PoisonError::into_inner).pick(product, tile);
    }

    /// The limits of the opened device.
    pub fn limits(&self) -> wgpu::Limits {
        self.device.limits()
    }

    /// Maximum bytes of a buffer that a shader can bind.
    pub fn largest_buffer(&self) -> u64 {
        let limits = self.limits();
        limits.max_buffer_size.min(limits.max_storage_buffer_binding_size)
    }

    /// Maximum bytes of a part of a frozen tensor: larger tensors are bound in parts.
    pub fn largest_part(&self) -> u64 {
        self.largest_buffer().min(self.largest_part)
    }

    /// Sets a smaller limit for the parts of frozen tensors, for tests that small ones are bound in parts.
    pub fn bind_at_most(&mut self, bytes: u64) {
        self.largest_part = bytes;
    }

    /// True if the GPU supports timestamps of the begin and end of a compute pass.
    pub fn has_timestamps(&self) -> bool {
        self.device.features().contains(wgpu::Features::TIMESTAMP_QUERY)
    }

    /// The wgpu device.
    pub fn device(&self) -> &wgpu::Device {
        &self.device
    }

    /// The wgpu queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.queue
    }

    /// Checks for a fault on the GPU.
    ///
    /// # Errors
    /// The first fault that was reported.
    pub fn check(&self) -> Result<(), GpuError> {
        self.faults.check()
    }

    /// Destroys the device, as a driver's reset would; for tests.
    pub fn lose(&self) {
        self.faults.report(GpuError::Lost { gpu: self.found.name.clone(), reason: "it was given up".to_owned() });
        self.device.destroy();
    }
}
