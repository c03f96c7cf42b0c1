//! Pipelines: shaders compiled with their constants, and the layouts of their bindings.

use std::{
    num::NonZeroU64,
    sync::{Arc, PoisonError},
};

use super::{Accelerator, GpuError, fault::one_line, module};
use crate::graph::shader::{Access, Launch, Shader};

/// A shader compiled with its constants.
pub struct Pipeline {
    /// The wgpu pipeline.
    pub pipeline: wgpu::ComputePipeline,
    /// Params at 0, storage buffers from 1 on.
    pub layout: wgpu::BindGroupLayout,
}

impl Accelerator {
    /// Builds the missing pipelines of these launches.
    ///
    /// # Errors
    /// If the driver does not accept a shader.
    pub async fn build_all<'a>(&self, launches: impl Iterator<Item = &'a Launch>) -> Result<(), GpuError> {
        let mut missing: Vec<(&'static Shader, &[u32])> = vec![];
        for launch in launches {
            let key = (launch.shader.name, launch.constants.clone());
            let is_new = missing.iter().all(|(shader, constants)| (shader.name, *constants) != (key.0, &key.1[..]));
            if is_new && !self.pipelines.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&key) {
                missing.push((launch.shader, &launch.constants));
            }
        }
        for (done, (shader, constants)) in missing.iter().enumerate() {
            (self.options().building)(done, missing.len());
            self.pipeline(shader, constants).await?;
        }
        if !missing.is_empty() {
            (self.options().building)(missing.len(), missing.len());
        }
        Ok(())
    }

    /// The pipeline of a shader with these constants; built at the first request.
    ///
    /// # Errors
    /// If the driver does not accept the shader.
    pub async fn pipeline(&self, shader: &'static Shader, constants: &[u32]) -> Result<Arc<Pipeline>, GpuError> {
        let key = (shader.name, constants.to_vec());
        if let Some(pipeline) = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(pipeline.clone());
        }
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let pipeline = Arc::new(self.build(shader, constants));
        if let Some(error) = scope.pop().await {
            let message = one_line(&shader.located(&error.to_string()));
            let (shader, gpu) = (shader.name.to_owned(), self.name().to_owned());
            return Err(GpuError::Shader { shader, gpu, message });
        }
        self.pipelines.lock().unwrap_or_else(PoisonError::into_inner).insert(key, pipeline.clone());
        Ok(pipeline)
    }

    /// Runs one launch, once, on these buffers.
    ///
    /// # Errors
    /// If the driver does not accept the shader.
    pub(super) async fn run(&self, launch: &Launch, buffers: &[&wgpu::Buffer]) -> Result<(), GpuError> {
        let pipeline = self.pipeline(launch.shader, &launch.constants).await?;
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            self.put(&mut pass, &pipeline, launch, buffers);
        }
        self.queue.submit([encoder.finish()]);
        Ok(())
    }

    /// Encodes one launch on these buffers into a compute pass.
    pub(super) fn put(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        pipeline: &Pipeline,
        launch: &Launch,
        buffers: &[&wgpu::Buffer],
    ) {
        let params = self.uniform(&launch.params);
        let bound = std::iter::once(&params).chain(buffers.iter().copied());
        let entries: Vec<wgpu::BindGroupEntry<'_>> = (0..)
            .zip(bound)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let descriptor =
            wgpu::BindGroupDescriptor { label: Some(launch.shader.name), layout: &pipeline.layout, entries: &entries };
        pass.set_pipeline(&pipeline.pipeline);
        pass.set_bind_group(0, &self.device.create_bind_group(&descriptor), &[]);
        let [x, y, z] = launch.groups;
        pass.dispatch_workgroups(x, y, z);
    }

    fn build(&self, shader: &'static Shader, constants: &[u32]) -> Pipeline {
        let source = self.sources.get(shader.name).cloned().unwrap_or_else(|| shader.source());
        let descriptor =
            wgpu::ShaderModuleDescriptor { label: Some(shader.name), source: wgpu::ShaderSource::Wgsl(source.into()) };
        let module = module::compile(&self.device, descriptor, self.options().checks);
        let entry =
            |binding: usize, ty: wgpu::BufferBindingType, size: Option<NonZeroU64>| wgpu::BindGroupLayoutEntry {
                binding: binding as u32,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: size },
                count: None,
            };
        let params = NonZeroU64::new(4 * shader.params.len() as u64);
        let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform, params)];
        for (index, binding) in shader.bindings.iter().enumerate() {
            let read_only = binding.access == Access::Read;
            entries.push(entry(index + 1, wgpu::BufferBindingType::Storage { read_only }, None));
        }
        let layout = self
            .device
            .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(shader.name), entries: &entries });
        let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(shader.name),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let constants: Vec<(&str, f64)> =
            shader.constants.iter().zip(constants).map(|(name, value)| (*name, f64::from(*value))).collect();
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(shader.name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &constants,
                // No shader reads workgroup memory that it has not written.
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        Pipeline { pipeline, layout }
    }
}
