//! Transfers between the host and the GPU.

use std::ops::Range;

use futures_channel::oneshot;

use super::{Accelerator, GpuError};
use crate::graph::shader::{Launch, Memory, Shader, shader};

/// Bytes written before the queue is submitted: drivers keep a copy of all data that are not yet submitted.
const PORTION: usize = 64 << 20;

shader! {
    /// Sums the words of a buffer, to see that they arrived.
    pub CHECKSUM = "step/checksum", workgroup 256;
    parts { "step/checksum", "lib/elements" }
    params { words: u32 }
    buffers { read words: u32, write sum: atomic }
    constants {}
}

/// The shaders of this module.
pub const SHADERS: &[Shader] = &[CHECKSUM];

impl Accelerator {
    /// A buffer of `bytes` that shaders can bind, rounded up to whole words, filled with zeros.
    ///
    /// # Errors
    /// If it is larger than the GPU allows.
    pub fn storage(&self, what: &str, bytes: u64) -> Result<wgpu::Buffer, GpuError> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let (size, allowed) = (bytes.max(4).next_multiple_of(4), self.largest_buffer());
        if size > allowed {
            return Err(GpuError::Limit {
                what: format!("a buffer for {what}"),
                needed: format!("{size} bytes"),
                allowed: format!("{allowed} bytes"),
                gpu: self.name().to_owned(),
                remedy: "lower `cohort`, `batch_size` or `tokens`, or use `--device cpu`",
            });
        }
        Ok(self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(what),
            size,
            usage,
            mapped_at_creation: false,
        }))
    }

    /// A buffer to copy into, which the host can read.
    pub fn staging(&self, bytes: u64) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("staging"),
            size: bytes.max(4).next_multiple_of(4),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    /// Writes words to the start of a buffer, in portions.
    pub fn write(&self, buffer: &wgpu::Buffer, words: &[u32]) {
        for (index, portion) in words.chunks(PORTION / 4).enumerate() {
            self.queue.write_buffer(buffer, (index * PORTION) as u64, bytemuck::cast_slice(portion));
            if portion.len() == PORTION / 4 {
                self.queue.submit([]);
                self.wait();
            }
        }
    }

    /// Writes words to a new buffer and verifies their checksum.
    ///
    /// # Errors
    /// If the buffer is larger than the GPU allows, or the checksum on the GPU differs.
    pub async fn upload(&self, what: &str, words: &[u32]) -> Result<wgpu::Buffer, GpuError> {
        let buffer = self.storage(what, 4 * words.len() as u64)?;
        self.write(&buffer, words);
        let sent = words.iter().zip(0u32..).fold(0u32, |sum, (word, place)| {
            sum.wrapping_add(word.wrapping_mul(place.wrapping_mul(2).wrapping_add(1)))
        });
        let sum = self.storage("a checksum", 4)?;
        let count = [words.len() as u32];
        let launch = Launch::over(&CHECKSUM, words.len(), &count, &[Memory::Partials, Memory::States]);
        self.run(&launch, &[&buffer, &sum]).await?;
        let found = self.download(&sum, 0..1).await?[0];
        if found != sent {
            return Err(GpuError::Upload { what: what.to_owned(), gpu: self.name().to_owned(), found, sent });
        }
        Ok(buffer)
    }

    /// Reads a range of words of a buffer.
    ///
    /// # Errors
    /// Any fault on the GPU.
    pub async fn download(&self, buffer: &wgpu::Buffer, words: Range<usize>) -> Result<Vec<u32>, GpuError> {
        let (start, bytes) = (4 * words.start as u64, 4 * words.len() as u64);
        let staging = self.staging(bytes);
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(buffer, start, &staging, 0, bytes);
        self.queue.submit([encoder.finish()]);
        self.read(&staging, words.len()).await
    }

    /// A uniform buffer of these words.
    pub fn uniform(&self, words: &[u32]) -> wgpu::Buffer {
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let size = (4 * words.len() as u64).max(4);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("params"),
            size,
            usage,
            mapped_at_creation: false,
        });
        self.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(words));
        buffer
    }

    /// The first `count` words of a staging buffer, after all earlier submits are done.
    ///
    /// # Errors
    /// The first fault on the GPU until then.
    pub async fn read(&self, staging: &wgpu::Buffer, count: usize) -> Result<Vec<u32>, GpuError> {
        let slice = staging.slice(..4 * count as u64);
        let (sender, receiver) = oneshot::channel();
        slice.map_async(wgpu::MapMode::Read, move |mapped| {
            // Sending fails if the reader was dropped, which is no error.
            let _ = sender.send(mapped);
        });
        self.wait();
        let mapped = receiver.await;
        self.check()?;
        let lost = || GpuError::Lost { gpu: self.name().to_owned(), reason: "a result could not be read".to_owned() };
        mapped.map_err(|_| lost())?.map_err(|_| lost())?;
        let words = {
            let view = slice.get_mapped_range().map_err(|_| lost())?;
            bytemuck::pod_collect_to_vec(&view)
        };
        staging.unmap();
        Ok(words)
    }

    /// Natively, waits for everything that was submitted; in a browser the event loop does.
    pub fn wait(&self) {
        // A fault while waiting is stored for `check`.
        if let Err(error) = self.device.poll(wgpu::PollType::wait_indefinitely()) {
            self.faults.report(GpuError::Lost { gpu: self.name().to_owned(), reason: error.to_string() });
        }
    }
}
