//! Random numbers drawn on the GPU, with the same bits as on the host.

use std::sync::{Arc, PoisonError};

use loralab_linalg::{COEFFICIENTS, Law, Stream};

use super::{Accelerator, GpuError, Pipeline};
use crate::graph::shader::{Launch, Memory, Shader, shader, word};

shader! {
    UNIFORM = "uniform/fill", workgroup 256;
    parts { "uniform/fill", "lib/random", "lib/philox", "lib/elements" }
    params { elements: u32, offset: u32, seed_low: u32, seed_high: u32, name_low: u32, name_high: u32, unit: f32 }
    buffers { write out: f32 }
    constants {}
}
shader! {
    NORMAL = "normal/fill", workgroup 256;
    parts { "normal/fill", "lib/random", "lib/philox", "lib/elements" }
    params { elements: u32, offset: u32, seed_low: u32, seed_high: u32, name_low: u32, name_high: u32, unit: f32 }
    buffers { read coefficients: u32, write out: f32 }
    constants {}
}

/// The shaders of this module.
pub const SHADERS: &[Shader] = &[UNIFORM, NORMAL];

/// Pipelines and the table of normal quantiles for drawing random numbers on a GPU.
#[derive(Clone)]
pub struct Filler {
    uniform: Arc<Pipeline>,
    normal: Arc<Pipeline>,
    quantiles: wgpu::Buffer,
}

impl Accelerator {
    /// The filler of this GPU, made once.
    ///
    /// # Errors
    /// If the driver does not accept a shader, or fails.
    pub async fn filler(&self) -> Result<Filler, GpuError> {
        if let Some(filler) = &*self.filler.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(filler.clone());
        }
        let filler = Filler {
            uniform: self.pipeline(&UNIFORM, &[]).await?,
            normal: self.pipeline(&NORMAL, &[]).await?,
            quantiles: self.upload("the normal quantiles", COEFFICIENTS.as_flattened()).await?,
        };
        *self.filler.lock().unwrap_or_else(PoisonError::into_inner) = Some(filler.clone());
        Ok(filler)
    }
}

impl Filler {
    /// Fills `len` elements of a buffer from `offset` on, within a compute pass.
    pub fn fill(
        &self,
        accelerator: &Accelerator,
        pass: &mut wgpu::ComputePass<'_>,
        buffer: &wgpu::Buffer,
        (offset, len): (usize, usize),
        stream: &Stream,
        law: Law,
    ) {
        let [seed_low, seed_high, name_low, name_high] = stream.words();
        let params = |unit: f32| [word(len), word(offset), seed_low, seed_high, name_low, name_high, unit.to_bits()];
        let blocks = len.div_ceil(4);
        match law {
            Law::Zeros => {}
            Law::Uniform(bound) => {
                let params = params(bound * Stream::UNIFORM_UNIT);
                let launch = Launch::over(&UNIFORM, blocks, &params, &[Memory::Trained]);
                accelerator.put(pass, &self.uniform, &launch, &[buffer]);
            }
            Law::Normal(deviation) => {
                let params = params(deviation * Stream::NORMAL_UNIT);
                let launch = Launch::over(&NORMAL, blocks, &params, &[Memory::Table(0), Memory::Trained]);
                accelerator.put(pass, &self.normal, &launch, &[&self.quantiles, buffer]);
            }
        }
    }
}
