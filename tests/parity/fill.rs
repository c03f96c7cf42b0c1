//! Random numbers of the GPU have the bits of the host's.

use std::sync::Arc;

use loralab_core::device::{wait, webgpu::Accelerator};
use loralab_linalg::{Law, Stream};

use super::cases::Mutant;
use crate::gpu;

/// Broken kernels.
pub const MUTANTS: &[Mutant] = &[
    ("uniform/fill", "round < 10u", "round < 9u"),
    ("uniform/fill", "word >> 9u", "word >> 8u"),
    ("uniform/fill", "(carry >> 16u)", "0u"),
    ("uniform/fill", "index * 4u + 3u", "index * 4u + 2u"),
    ("normal/fill", "0x9e3779b9u, 0xbb67ae85u", "0xbb67ae85u, 0x9e3779b9u"),
    ("normal/fill", "z + 128u", "z"),
    ("normal/fill", "coefficients[at + 3u]", "coefficients[at + 2u]"),
    ("normal/fill", "octave * 16u", "octave * 15u"),
    ("normal/fill", "params.name_high)", "params.name_low)"),
];

#[test]
fn random_numbers_have_the_bits_of_the_host() {
    for gpu in [gpu::native(), gpu::web_base(), gpu::unchecked()] {
        assert_eq!(differences(&gpu), Vec::<String>::new());
    }
}

/// The random numbers of the GPU that are not the host's, one sentence for each stream.
pub fn differences(gpu: &Arc<Accelerator>) -> Vec<String> {
    let mut found = Vec::new();
    for (seed, name, elements, offset) in [
        (0, "a", 1, 0),
        (1, "model.layers.0.self_attn.q_proj.lora_A.weight", 5, 3),
        (u64::MAX, "b", 1001, 1),
        (1 << 32, "a", 70_003, 64),
    ] {
        let stream = Stream::new(seed, name);
        for law in [Law::Uniform(0.1), Law::Uniform(1.999_999_9), Law::Normal(1.0), Law::Normal(0.3)] {
            let mut host = vec![f32::NAN; offset + elements + 2];
            law.fill(&stream, &mut host[offset..offset + elements]);
            let host: Vec<u32> = host.into_iter().map(f32::to_bits).collect();
            let on_gpu = wait(async {
                let buffer = gpu.upload("poison", &vec![f32::NAN.to_bits(); host.len()]).await?;
                let filler = gpu.filler().await?;
                let mut encoder = gpu.device().create_command_encoder(&Default::default());
                {
                    let mut pass = encoder.begin_compute_pass(&Default::default());
                    filler.fill(gpu, &mut pass, &buffer, (offset, elements), &stream, law);
                }
                gpu.queue().submit([encoder.finish()]);
                gpu.download(&buffer, 0..host.len()).await
            });
            let on_gpu = on_gpu.expect("the GPU does not fail");
            if let Some(index) = (0..host.len()).find(|&index| host[index] != on_gpu[index]) {
                found.push(format!(
                    "{law:?} of {elements}, seed {seed}: element {index} is {:x}, on the host {:x}",
                    on_gpu[index], host[index]
                ));
            }
        }
    }
    found
}
