//! The one place with unsafe code: shaders without the checks that the graphics library would add.
#![allow(unsafe_code)]

/// Compiles a shader that checks no index and bounds no loop.
///
/// Only shaders of this repository come here: they guard their indices themselves, all their loops end, and the tests run each of them with checks
/// first, on the same shapes, and compare the results.
pub fn module(device: &wgpu::Device, descriptor: wgpu::ShaderModuleDescriptor<'_>) -> wgpu::ShaderModule {
    // SAFETY: see above; a shader that read or wrote out of bounds would differ from its checked self in those tests.
    unsafe { device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
}
