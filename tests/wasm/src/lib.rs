//! Random starts behind functions that a wasm host can call without any glue.
//!
//! A page and a native binary must begin the same experiment with the same bits. The test of this package builds it for
//! wasm, runs it in an interpreter and holds every bit equal to what the functions below return natively.

use loralab_core::init::{ALL, Layer, Start};
use loralab_linalg::{Draws, Stream, norm, normal_matrix, to_rows};

/// The bits of the factors that a scheme (by its place in [`ALL`]) starts a layer with: A, B and, if there are any,
/// the frozen A₀ and B₀; then their norm (two words).
pub fn start_bits(scheme: u32, seed: u64, inputs: u32, outputs: u32, rank: u32) -> Vec<u32> {
    let layer = Layer {
        name: "model.layers.0.self_attn.q_proj",
        inputs: inputs as usize,
        outputs: outputs as usize,
        rank: rank as usize,
        scale: 1.0,
        chosen: &[],
    };
    let drawn = normal_matrix(&Stream::new(seed, "weight"), layer.outputs, layer.inputs);
    let weight = || Some(to_rows(drawn.as_ref()).into());
    let Start { a, b, frozen } =
        ALL[scheme as usize].start(&layer, weight, seed).expect("a layer that every scheme can start");
    let (a_0, b_0) = frozen.unwrap_or_default();
    let values = [a, b, a_0, b_0].concat();
    let norm = norm(&values).to_bits();
    values.into_iter().map(f32::to_bits).chain([norm as u32, (norm >> 32) as u32]).collect()
}

/// The numbers below `count` in a random order.
pub fn shuffled(seed: u64, count: u32) -> Vec<u32> {
    let mut numbers: Vec<u32> = (0..count).collect();
    Draws::new(seed, "order").shuffle(&mut numbers);
    numbers
}

#[expect(unsafe_code, reason = "a host finds a function by its plain name only; nothing unsafe is done")]
mod exports {
    /// [`super::start_bits`] for a wasm host: where in memory the count of words stands, followed by the words.
    #[unsafe(no_mangle)]
    pub extern "C" fn probe_start_bits(scheme: u32, seed: u64, inputs: u32, outputs: u32, rank: u32) -> *const u32 {
        leak(super::start_bits(scheme, seed, inputs, outputs, rank))
    }

    /// [`super::shuffled`] for a wasm host, returned in the same way.
    #[unsafe(no_mangle)]
    pub extern "C" fn probe_shuffled(seed: u64, count: u32) -> *const u32 {
        leak(super::shuffled(seed, count))
    }

    /// The host has no way to free memory, and drops the module as a whole.
    fn leak(mut words: Vec<u32>) -> *const u32 {
        words.insert(0, words.len() as u32);
        words.leak().as_ptr()
    }
}
