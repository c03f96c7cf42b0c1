//! Random numbers drawn on the GPU, with the bits that the host draws.

use loralab_linalg::{COEFFICIENTS, Stream};

use super::{Accelerator, GpuError};
use crate::shader::{Launch, Memory, Shader, shader};

shader! {
    UNIFORM = "uniform/fill", workgroup 256;
    params { elements: u32, offset: u32, seed_low: u32, seed_high: u32, name_low: u32, name_high: u32, unit: f32 }
    buffers { write out: f32 }
    constants {}
}
shader! {
    NORMAL = "normal/fill", workgroup 256;
    params { elements: u32, offset: u32, seed_low: u32, seed_high: u32, name_low: u32, name_high: u32, unit: f32 }
    buffers { read coefficients: u32, write out: f32 }
    constants {}
}

/// The shaders of this module.
pub const SHADERS: &[Shader] = &[UNIFORM, NORMAL];

/// What a tensor is filled with; the words are those of [`Stream`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Draw {
    /// Inside ± this bound.
    Uniform(f32),
    /// Of this standard deviation.
    Normal(f32),
}

impl Accelerator {
    /// Fills `elements` numbers of a buffer, from `offset` on, from the stream of a seed and a name.
    ///
    /// # Errors
    /// If the driver does not accept the shader.
    pub async fn fill(
        &self,
        buffer: &wgpu::Buffer,
        offset: u32,
        elements: u32,
        stream: &Stream,
        draw: Draw,
    ) -> Result<(), GpuError> {
        let [seed_low, seed_high, name_low, name_high] = stream.words();
        let params = |unit: f32| [elements, offset, seed_low, seed_high, name_low, name_high, unit.to_bits()];
        let blocks = elements.div_ceil(4) as usize;
        match draw {
            Draw::Uniform(bound) => {
                let params = params(bound * Stream::UNIFORM_UNIT);
                let launch = Launch::over(&UNIFORM, blocks, &params, &[Memory::Trained]);
                self.run(&launch, &[buffer]).await
            }
            Draw::Normal(std) => {
                let table = self.upload("the normal quantiles", COEFFICIENTS.as_flattened()).await?;
                let params = params(std * Stream::NORMAL_UNIT);
                let launch = Launch::over(&NORMAL, blocks, &params, &[Memory::Table(0), Memory::Trained]);
                self.run(&launch, &[&table, buffer]).await
            }
        }
    }
}
