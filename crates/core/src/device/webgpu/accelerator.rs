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

/// Which limits are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// What every WebGPU browser grants: 8 storage buffers, bindings of 128 MiB, 256 invocations, 16 KiB of workgroup memory.
    WebBase,
    /// Everything that the GPU has.
    Native,
}

/// Whether shaders check their indices. Their loops end by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// They do.
    On,
    /// They do not: faster on some drivers, for shaders that have passed their tests with checks. A browser checks all the same.
    Off,
}

/// How the tiles of products are chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tiling {
    /// As they are given.
    Given(Tiles),
    /// As they are given, and each product that is not among them by a timing, once.
    Timed(Tiles),
}

/// How a GPU is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Limits.
    pub profile: Profile,
    /// Checks.
    pub checks: Checks,
    /// Tiles.
    pub tiling: Tiling,
    /// Seconds since some moment: the core has no clock of its own.
    pub clock: fn() -> f64,
    /// Told how many of how many pipelines are built, before each and after the last. Some drivers take seconds for them.
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
            // A browser's alignments are coarser than what some drivers have; asking for them changes nothing natively.
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
            // A device that is dropped is destroyed; nobody misses it.
            if reason != wgpu::DeviceLostReason::Destroyed {
                lost.report(GpuError::Lost { gpu: of_lost.clone(), reason: one_line(&message) });
            }
        });
        let (pipelines, filler, sources) = (Mutex::default(), Mutex::default(), HashMap::new());
        let (Tiling::Given(tiles) | Tiling::Timed(tiles)) = &options.tiling;
        let tiles = Mutex::new(tiles.clone());
        Ok(Accelerator { device, queue, faults, pipelines, filler, sources, tiles, options, found })
    }

    /// Replaces the text of a shader, for tests that show that a broken one is found.
    pub fn replace_source(&mut self, shader: &str, source: String) {
        self.sources.insert(shader.to_owned(), source);
        self.filler = Mutex::default();
        if let Ok(pipelines) = self.pipelines.get_mut() {
            pipelines.retain(|(name, _), _| *name != shader);
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.found.name
    }

    /// What was found.
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// How it was opened.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The tiles that products have, those timed so far among them.
    pub fn tiles(&self) -> Tiles {
        self.tiles.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives a product its tile from now on.
    pub fn pick_tile(&self, product: String, tile: Tile) {
        self.tiles.lock().unwrap_or_else(PoisonError::into_inner).pick(product, tile);
    }

    /// Limits that hold.
    pub fn limits(&self) -> wgpu::Limits {
        self.device.limits()
    }

    /// Bytes that a buffer may have so that a shader can bind it.
    pub fn largest_buffer(&self) -> u64 {
        let limits = self.limits();
        limits.max_buffer_size.min(limits.max_storage_buffer_binding_size)
    }

    /// Whether the GPU can say when a pass began and ended.
    pub fn has_timestamps(&self) -> bool {
        self.device.features().contains(wgpu::Features::TIMESTAMP_QUERY)
    }

    /// The library's device.
    pub fn device(&self) -> &wgpu::Device {
        &self.device
    }

    /// The library's queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.queue
    }

    /// The first thing that went wrong, if anything did.
    ///
    /// # Errors
    /// That.
    pub fn check(&self) -> Result<(), GpuError> {
        self.faults.check()
    }

    /// Destroys the device, as a driver's reset would; for tests of what happens then.
    pub fn lose(&self) {
        self.faults.report(GpuError::Lost { gpu: self.found.name.clone(), reason: "it was given up".to_owned() });
        self.device.destroy();
    }
}
