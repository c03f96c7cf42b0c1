//! Choice of tiles by timing: each product without a tile is run with every tile, on the plan's own buffers, and gets the fastest.

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

/// Minimum seconds of one measurement: long compared with the cost of submitting it.
const LEAST: f64 = 0.01;
/// Measurements per tile; the shortest counts.
const REPETITIONS: usize = 4;

/// Chooses a tile for every product of a plan. Overwrites the row buffers and the trained tensors.
///
/// # Errors
/// Any fault on the GPU.
pub async fn tune(accelerator: &Accelerator, plan: &Plan, base: &[Tensor], buffers: &Buffers) -> Result<(), GpuError> {
    for dispatch in plan.forward.iter().chain(&plan.backward) {
        let launches = |tiles: &Tiles| Op::launch(dispatch, &grid(accelerator, plan, base, tiles));
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

/// Fills the buffers that a launch reads with non-zero values, since some hardware is faster on zeros.
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

/// Seconds of one launch, measured after a warm-up.
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
