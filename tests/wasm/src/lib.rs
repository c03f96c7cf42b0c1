//! Random starts behind functions that a wasm host can call without any glue.
//!
//! A page and a native binary must begin the same experiment with the same bits. The test of this package builds it for
//! wasm, runs it in an interpreter and holds every bit equal to what the functions below return natively.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use loralab_core::{
    calibrate::Calibration,
    device::{Machine, RunSettings},
    init::{ALL, Layer, Rule, Scheme, Start},
    memory::{Data, Tensor, Weight},
    model::{Adapters, Base, Config},
    plan::{Optimizer, Shape},
    tape::{Purpose, Tape},
    train::Run,
};
use loralab_data::Dataset;
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
    let weight = to_rows(drawn.as_ref());
    let scheme = ALL[scheme as usize];
    let values = if matches!(scheme.rule, Rule::Product { .. } | Rule::Triplets { .. }) {
        asked(scheme, &layer, weight, seed)
    } else {
        let Start { a, b, frozen } =
            scheme.start(&layer, || Some(weight.into()), seed).expect("a layer that every scheme can start");
        let (a_0, b_0) = frozen.unwrap_or_default();
        [a, b, a_0, b_0].concat()
    };
    let norm = norm(&values).to_bits();
    values.into_iter().map(f32::to_bits).chain([norm as u32, (norm >> 32) as u32]).collect()
}

/// The same of a scheme that asks a device, here the processor.
fn asked(scheme: &'static Scheme, layer: &Layer<'_>, weight: Vec<f32>, seed: u64) -> Vec<f32> {
    let Layer { inputs, outputs, rank, .. } = *layer;
    let mut tape = Tape::new(Shape { runs: 1, sequences: 1, tokens: 1 }, true);
    let x = tape.features(inputs);
    let y = tape.lora_linear(x, Weight::Frozen(0), outputs, rank, layer.name);
    tape.mse(y);
    let plan = tape.compile(Purpose::Train(Optimizer::SignSgd));
    // Only data would go through a model.
    let config = Config {
        vocabulary: 1,
        width: 2,
        layers: 1,
        heads: 1,
        kv_heads: 1,
        feed_forward: 1,
        rope_theta: 1.0,
        epsilon: 1.0,
        tied: true,
        tokens: 1,
    };
    let tensor = Tensor { name: format!("{}.weight", layer.name), shape: [outputs, inputs], data: Data::F32(weight) };
    let machine = Machine::Cpu(Some(1));
    let make_device = |plan, base| machine.make(plan, base);
    let calibration = Calibration {
        base: &Base { config, tensors: [tensor].into() },
        adapters: &Adapters { rank, target_modules: vec![] },
        sequences: 1,
        tokens: 1,
        optimizer: Optimizer::SignSgd,
        preconditioner: None,
        steps: 1,
        train: &Dataset::Text(vec![]),
        make_device: &make_device,
    };
    let settings =
        RunSettings { scale: layer.scale.into(), learning_rate_ratio: 1.0, weight_decay: 0.0, max_grad_norm: 0.0 };
    let run = Run { scheme, chosen: Default::default(), seed, learning_rate: 0.0, settings };
    let starts = at_once(calibration.starts(&[run], &plan)).expect("a processor does what it is asked");
    let (trained, frozen_pairs) = starts[0].as_ref().expect("a layer that every scheme can start").initial.numbers();
    [trained, frozen_pairs].concat()
}

/// What a processor answers, which is there when it is first asked for.
fn at_once<T>(answer: impl Future<Output = T>) -> T {
    match pin!(answer).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("only a GPU makes one wait"),
    }
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
