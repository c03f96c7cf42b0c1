//! Access to the GPU below the kernels: selection, limits, pipelines, transfers and faults.
//!
//! Everything uses wgpu: Vulkan, Metal or DirectX 12 natively and WebGPU in a browser. Functions that wait for the GPU are `async`: natively
//! the first poll blocks until the future is ready, in a browser it waits for the browser's event loop.

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
