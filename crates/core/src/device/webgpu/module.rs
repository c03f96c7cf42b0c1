//! Compiled shaders. The one place with unsafe code: they go without some checks that the graphics library would add.
#![allow(unsafe_code)]

use super::Checks;

/// Compiles a shader that bounds no loop, and checks its indices where that is asked for.
///
/// Only shaders of this repository come here. The library would count the rounds of every loop, lest an endless one be taken for code that is never
/// reached; a test shows that all their loops end. They guard their indices themselves, and the tests run each of them with checks first, on the same
/// shapes, and compare the results.
pub fn compile(
    device: &wgpu::Device,
    descriptor: wgpu::ShaderModuleDescriptor<'_>,
    checks: Checks,
) -> wgpu::ShaderModule {
    let checks = match checks {
        Checks::On => wgpu::ShaderRuntimeChecks { force_loop_bounding: false, ..wgpu::ShaderRuntimeChecks::checked() },
        Checks::Off => wgpu::ShaderRuntimeChecks::unchecked(),
    };
    // SAFETY: see above; a shader that read or wrote out of bounds would differ from its checked self in those tests.
    unsafe { device.create_shader_module_trusted(descriptor, checks) }
}
