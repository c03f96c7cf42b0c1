//! Compilation of shaders. This is the only unsafe code: it omits some checks that the graphics library would add.
#![allow(unsafe_code)]

use super::Checks;

/// Compiles a shader without loop bounds, and with index checks if `checks` is on.
///
/// Only shaders of this repository are compiled here. The library would count the iterations of every loop, since compilers may treat an endless loop
/// as unreachable code; a test shows that all loops of these shaders end. The shaders guard their indices themselves, and the tests run each of them with
/// checks first, on the same shapes, and compare the results.
pub fn compile(
    device: &wgpu::Device,
    descriptor: wgpu::ShaderModuleDescriptor<'_>,
    checks: Checks,
) -> wgpu::ShaderModule {
    let checks = match checks {
        Checks::On => wgpu::ShaderRuntimeChecks { force_loop_bounding: false, ..wgpu::ShaderRuntimeChecks::checked() },
        Checks::Off => wgpu::ShaderRuntimeChecks::unchecked(),
    };
    // SAFETY: see above; a shader that read or wrote out of bounds would differ from its checked version in those tests.
    unsafe { device.create_shader_module_trusted(descriptor, checks) }
}
