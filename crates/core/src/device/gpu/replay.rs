//! Prepared launches, and their encoding into a command buffer.

use std::sync::Arc;

use super::buffers::Buffers;
use crate::{
    device::webgpu::{Accelerator, GpuError, Pipeline},
    graph::shader::Launch,
};

/// A prepared launch: pipeline, bind group and workgroups.
pub struct Ready {
    pipeline: Arc<Pipeline>,
    group: wgpu::BindGroup,
    groups: [u32; 3],
}

/// Prepares launches. Their params share buffers of `PAGE` bytes, which [`finish`](Maker::finish) writes.
pub struct Maker<'a> {
    accelerator: &'a Accelerator,
    buffers: &'a Buffers,
    params: Vec<(wgpu::Buffer, Vec<u32>)>,
    alignment: usize,
}

/// Bytes of a buffer of params.
const PAGE: usize = 64 << 10;

impl<'a> Maker<'a> {
    /// A maker for launches that bind these buffers.
    pub fn new(accelerator: &'a Accelerator, buffers: &'a Buffers) -> Maker<'a> {
        let alignment = accelerator.limits().min_uniform_buffer_offset_alignment as usize;
        Maker { accelerator, buffers, params: vec![], alignment }
    }

    /// Prepares lists of launches.
    pub async fn each(&mut self, lists: impl IntoIterator<Item = &Vec<Launch>>) -> Result<Vec<Vec<Ready>>, GpuError> {
        let mut ready = vec![];
        for list in lists {
            ready.push(self.all(list).await?);
        }
        Ok(ready)
    }

    /// Prepares a list of launches.
    async fn all(&mut self, launches: &[Launch]) -> Result<Vec<Ready>, GpuError> {
        let mut ready = Vec::with_capacity(launches.len());
        for launch in launches {
            ready.push(self.one(launch).await?);
        }
        Ok(ready)
    }

    async fn one(&mut self, launch: &Launch) -> Result<Ready, GpuError> {
        let most = self.accelerator.limits().max_compute_workgroups_per_dimension;
        if let Some(groups) = launch.groups.iter().find(|&&groups| groups > most) {
            return Err(GpuError::Limit {
                what: format!("a launch of `{}`", launch.shader.name),
                needed: format!("{groups} workgroups in a row"),
                allowed: format!("{most}"),
                gpu: self.accelerator.name().to_owned(),
                remedy: "lower `cohort` or `batch_size`, or use `--device cpu`",
            });
        }
        let pipeline = self.accelerator.pipeline(launch.shader, &launch.constants).await?;
        let (buffer, offset) = self.place(&launch.params);
        let params = wgpu::BufferBinding {
            buffer: &buffer,
            offset,
            size: std::num::NonZeroU64::new(4 * launch.params.len() as u64),
        };
        let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(params) }];
        for (index, memory) in launch.buffers.iter().enumerate() {
            let buffer = self.buffers.get(*memory).expect("a buffer was made for everything that a launch names");
            entries.push(wgpu::BindGroupEntry { binding: index as u32 + 1, resource: buffer.as_entire_binding() });
        }
        let group = self.accelerator.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(launch.shader.name),
            layout: &pipeline.layout,
            entries: &entries,
        });
        Ok(Ready { pipeline, group, groups: launch.groups })
    }

    /// Reserves space for params; returns the buffer and the offset in bytes.
    fn place(&mut self, params: &[u32]) -> (wgpu::Buffer, u64) {
        let step = (4 * params.len()).next_multiple_of(self.alignment);
        let full = self.params.last().is_none_or(|(_, words)| 4 * words.len() + step > PAGE);
        if full {
            let buffer = self.accelerator.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some("params"),
                size: PAGE as u64,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            self.params.push((buffer, vec![]));
        }
        let (buffer, words) = self.params.last_mut().expect("one was just made");
        let offset = 4 * words.len() as u64;
        words.extend_from_slice(params);
        words.resize(offset as usize / 4 + step / 4, 0);
        (buffer.clone(), offset)
    }

    /// Writes the params of all prepared launches.
    pub fn finish(self) {
        for (buffer, words) in &self.params {
            self.accelerator.write(buffer, words);
        }
    }
}

/// Encodes lists of launches into one compute pass, with optional timestamps of its begin and end.
pub fn encode<L: AsRef<[Ready]>>(
    encoder: &mut wgpu::CommandEncoder,
    timestamp_writes: Option<wgpu::ComputePassTimestampWrites<'_>>,
    lists: impl IntoIterator<Item = L>,
) {
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes });
    let mut current: Option<*const Pipeline> = None;
    for list in lists {
        for launch in list.as_ref() {
            let pipeline = Arc::as_ptr(&launch.pipeline);
            if current != Some(pipeline) {
                pass.set_pipeline(&launch.pipeline.pipeline);
                current = Some(pipeline);
            }
            pass.set_bind_group(0, &launch.group, &[]);
            let [x, y, z] = launch.groups;
            pass.dispatch_workgroups(x, y, z);
        }
    }
}
