//! The GPU beneath the kernels: which one, its limits, its pipelines, what goes to it and comes back, and what goes wrong on it.
//!
//! Everything goes through wgpu, so it is Vulkan, Metal or DirectX 12 natively and WebGPU in a browser. What waits for the GPU is `async`: natively
//! the future is ready when it is first polled (it blocks), in a browser it waits for the browser's event loop.

mod accelerator;
mod adapter;
mod fault;
mod fill;
mod module;
mod pipeline;
mod transfer;

pub use accelerator::{Accelerator, Checks, Options, Profile, Tiling};
pub use adapter::{Found, Wanted, adapters};
pub use fault::GpuError;
pub use fill::Filler;
pub use pipeline::Pipeline;

use crate::graph::shader::Shader;

/// The shaders of this module.
pub fn shaders() -> impl Iterator<Item = &'static Shader> {
    fill::SHADERS.iter().chain(transfer::SHADERS)
}
