//! GPU time of each dispatch of a step, from timestamp queries.

use super::{Gpu, Ready, encode};
use crate::device::{Inputs, webgpu::GpuError};

/// Maximum queries of a query set.
const MOST: usize = wgpu::QUERY_SET_MAX_QUERIES as usize;

impl Gpu {
    /// Seconds of host time to encode one dispatch: encodes `steps` steps into a command buffer, which is then dropped.
    pub fn host_seconds(&self, steps: usize) -> f64 {
        let clock = self.accelerator.options().clock;
        let dispatches: usize = self.step.iter().map(Vec::len).sum();
        let mut encoder = self.accelerator.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let started = clock();
        encode(&mut encoder, None, std::iter::repeat_n(&self.step, steps).flatten());
        let commands = encoder.finish();
        let seconds = clock() - started;
        drop(commands);
        seconds / (dispatches * steps) as f64
    }

    /// Takes one step with each dispatch in a compute pass of its own, and returns the GPU seconds of the plan's dispatches in order, then of all updates
    /// together. `None` if the GPU has no timestamps. Browsers round timestamps.
    ///
    /// # Errors
    /// Any fault on the GPU.
    pub async fn seconds(
        &mut self,
        inputs: &[Inputs<'_>],
        learning_rates: &[f64],
    ) -> Result<Option<Vec<f64>>, GpuError> {
        let accelerator = self.accelerator.clone();
        if !accelerator.has_timestamps() {
            return Ok(None);
        }
        self.flush();
        self.rings.push(&self.buffers, inputs);
        self.set_rates(learning_rates);
        self.rings.write(&self.accelerator, &self.buffers);
        self.submit(self.before());
        let timed = &self.step[2..self.step.len() - 1];
        let mut seconds = Vec::with_capacity(timed.len());
        for some in timed.chunks(MOST / 2) {
            seconds.extend(self.time(some).await?);
        }
        self.submit(self.next());
        // Gathering the losses counts as part of the updates.
        let updates = seconds.pop().unwrap_or_default();
        if let Some(gathering) = seconds.last_mut() {
            *gathering += updates;
        }
        Ok(Some(seconds))
    }

    async fn time(&self, passes: &[Vec<Ready>]) -> Result<Vec<f64>, GpuError> {
        let (device, queue) = (self.accelerator.device(), self.accelerator.queue());
        let count = 2 * passes.len() as u32;
        let queries = device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("timestamps"),
            ty: wgpu::QueryType::Timestamp,
            count,
        });
        let resolved = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("timestamps"),
            size: 8 * u64::from(count),
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for (index, pass) in (0..).zip(passes) {
            let writes = wgpu::ComputePassTimestampWrites {
                query_set: &queries,
                beginning_of_pass_write_index: Some(2 * index),
                end_of_pass_write_index: Some(2 * index + 1),
            };
            encode(&mut encoder, Some(writes), [pass]);
        }
        encoder.resolve_query_set(&queries, 0..count, &resolved, 0);
        let staging = self.accelerator.staging(resolved.size());
        encoder.copy_buffer_to_buffer(&resolved, 0, &staging, 0, resolved.size());
        queue.submit([encoder.finish()]);
        let words = self.accelerator.read(&staging, 2 * count as usize).await?;
        let ticks: Vec<u64> =
            words.chunks_exact(2).map(|words| u64::from(words[0]) | u64::from(words[1]) << 32).collect();
        let tick = f64::from(queue.get_timestamp_period()) * 1e-9;
        Ok(ticks.chunks_exact(2).map(|pair| pair[1].saturating_sub(pair[0]) as f64 * tick).collect())
    }
}
