//! The choice of tiles by timing: each product that has none yet is run in every tile, on the plan's own buffers, and keeps the fastest.

use super::{
    buffers::Buffers,
    grid,
    replay::{Maker, Ready, encode},
};
use crate::{
    device::webgpu::{Accelerator, GpuError},
    graph::{
        memory::Tensor,
        ops::Op,
        plan::Plan,
        shader::{Access, Launch, Memory, Tile, Tiles},
    },
};

/// Seconds that one measurement takes at least: long beside what it costs to ask for it.
const LEAST: f64 = 0.01;
/// Measurements of each tile; the shortest counts.
const REPETITIONS: usize = 4;

/// Gives every product of a plan a tile. What the buffers of rows and of trained numbers held is lost.
///
/// # Errors
/// Whatever goes wrong on the GPU.
pub async fn tune(accelerator: &Accelerator, plan: &Plan, base: &[Tensor], buffers: &Buffers) -> Result<(), GpuError> {
    for dispatch in plan.forward.iter().chain(&plan.backward) {
        let launches = |tiles: &Tiles| Op::launch(dispatch, &grid(plan, base, tiles));
        for launch in launches(&accelerator.tiles()) {
            let Some(product) = launch.product.as_ref().filter(|product| !accelerator.tiles().has(product)) else {
                continue;
            };
            fill(accelerator, buffers, &launch);
            let mut fastest = (f64::INFINITY, Tile::default());
            for tile in Tile::ALL {
                let in_tile = launches(&Tiles::all(tile)).into_iter().find(|other| other.product == launch.product);
                let Some(in_tile) = in_tile else { continue };
                let mut maker = Maker::new(accelerator, buffers);
                let ready = maker.each([&vec![in_tile]]).await?;
                maker.finish();
                let seconds = seconds(accelerator, buffers, &ready[0]).await?;
                if seconds < fastest.0 {
                    fastest = (seconds, tile);
                }
            }
            accelerator.pick_tile(product.clone(), fastest.1);
        }
    }
    Ok(())
}

/// Puts numbers that are not zero where a launch reads, since some hardware is faster on zeros.
fn fill(accelerator: &Accelerator, buffers: &Buffers, launch: &Launch) {
    for (binding, memory) in launch.shader.bindings.iter().zip(&launch.buffers) {
        let holds_floats =
            matches!(memory, Memory::Rows(_) | Memory::Scratch(_) | Memory::Trained | Memory::FrozenPairs);
        let (true, Access::Read, Some(buffer)) = (holds_floats, binding.access, buffers.get(*memory)) else { continue };
        let spread = |place: u32| place.wrapping_mul(0x9E37_79B9) as i32 as f32 / 2f32.powi(31);
        let words: Vec<u32> = (0..(buffer.size() / 4) as u32).map(|place| spread(place).to_bits()).collect();
        accelerator.write(buffer, &words);
    }
}

/// Seconds that one run of a launch takes, after a first one that does not count.
async fn seconds(accelerator: &Accelerator, buffers: &Buffers, launch: &[Ready]) -> Result<f64, GpuError> {
    let clock = accelerator.options().clock;
    let measure = async |times: usize| {
        let started = clock();
        let mut encoder = accelerator.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encode(&mut encoder, None, std::iter::repeat_n(launch, times));
        accelerator.queue().submit([encoder.finish()]);
        if let Some(slot) = buffers.get(Memory::Slot) {
            accelerator.download(slot, 0..1).await?;
        }
        Ok::<f64, GpuError>((clock() - started) / times as f64)
    };
    measure(1).await?;
    let mut times = 1;
    let mut least = measure(times).await?;
    while least * (times as f64) < LEAST && times < 1 << 12 {
        times *= 2;
        least = measure(times).await?;
    }
    for _ in 1..REPETITIONS {
        least = measure(times).await?.min(least);
    }
    Ok(least)
}
