//! Random starts, and sizes beyond 32 bits, behind functions that a wasm host can call without any glue.
//!
//! A page and a native binary must begin the same experiment with the same bits. The test of this package builds it for
//! wasm, runs it in an interpreter and holds every bit equal to what the functions below return natively.
//!
//! A `usize` of wasm has 32 bits, and this package is compiled with checks for overflow: a product that is too large for it ends the test.

use std::{
    cell::RefCell,
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use loralab_core::{
    device::{Machine, RunSettings},
    graph::{
        memory::{Data, Tensor, Weight},
        plan::{Optimizer, Shape},
        tape::{Purpose, Tape},
    },
    lab::{
        calibrate::{Calibration, Setup},
        train::Run,
    },
    lora::init::{ALL, Layer, Rule, Scheme, Start},
    models::{Adapters, Base, llama::Config},
};
use loralab_data::{Batch, Dataset, HELD_OUT, validation};
use loralab_experiment::{Experiment, Message, Request};
use loralab_linalg::{Draws, Stream, norm, normal_matrix, to_rows};
use loralab_worker::{Control, Host, Wait, answer};

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

/// The same of a scheme that needs a device, here the processor.
fn asked(scheme: &'static Scheme, layer: &Layer<'_>, weight: Vec<f32>, seed: u64) -> Vec<f32> {
    let Layer { inputs, outputs, rank, .. } = *layer;
    let mut tape = Tape::new(Shape { runs: 1, sequences: 1, tokens: 1 }, true);
    let x = tape.features(inputs);
    let y = tape.lora_linear(x, Weight::Frozen(0), None, outputs, rank, layer.name);
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
    let tensor =
        Tensor { name: format!("{}.weight", layer.name), shape: [outputs, inputs], data: Data::F32(weight.into()) };
    let machine = Machine::Cpu(Some(1));
    let make_device = |plan, base| machine.make(plan, base);
    let calibration = Calibration {
        setup: Setup {
            base: &Base { model: config.into(), tensors: [tensor].into() },
            adapters: &Adapters::new(rank, vec![]),
            sequences: 1,
            tokens: 1,
            optimizer: Optimizer::SignSgd,
            preconditioner: None,
        },
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

/// The answer of a processor, which is ready at the first poll.
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

/// A text of so many tokens, held out in part: the lengths of both parts and a sum of each, then a sum of the sequences of a validation of so many.
pub fn split_text(length: u32, sequences: u32) -> Vec<u32> {
    let mut text = vec![0; length as usize];
    // Some only, since an interpreter would take long for every token.
    for (place, token) in text.iter_mut().enumerate().step_by(PLACES) {
        *token = place as u32;
    }
    let split = Dataset::Text(text).split(0, HELD_OUT, TOKENS).expect("long enough, and a part of it");
    let sum = |tokens: &mut dyn Iterator<Item = u32>| {
        tokens.fold(0, |sum: u32, token| sum.wrapping_mul(31).wrapping_add(token))
    };
    let of_part = |part: &Dataset| match part {
        Dataset::Text(text) => [text.len() as u32, sum(&mut text.iter().step_by(997).copied())],
        _ => panic!("the parts of a text are texts"),
    };
    let batches = validation(&split.validation, 8, TOKENS, sequences as usize).expect("long enough for a sequence");
    let first = |batch: &Batch| sum(&mut batch.tokens.iter().step_by(TOKENS).copied());
    let validated = sum(&mut batches.iter().map(first));
    [of_part(&split.train), of_part(&split.validation)].concat().into_iter().chain([validated]).collect()
}

/// Tokens from one to the next that is not zero in such a text.
const PLACES: usize = 1 << 10;

/// Tokens of a sequence of such a text.
const TOKENS: usize = 64;

/// Settings of which one is so large that the worker can only refuse: a product with it is beyond 32 bits, or beyond what can be allocated.
pub const TOO_LARGE: [&str; 11] = [
    "rank = 4000000000",
    "rank = 60000000",
    "rank = 250000\nmemory = '1TiB'",
    "rank = 300000\nmemory = '1TiB'\npreconditioner = 'riemannian'",
    "batch_size = 4000000000",
    "batch_size = 60000000",
    "batch_size = 1000000\nmemory = '1TiB'",
    "tokens = 4000000000",
    "tokens = 200000000\nbatch_size = 1",
    "tokens = 20000000\nbatch_size = 1\nmemory = '1TiB'",
    "tokens = 1000000\nbatch_size = 8",
];

/// The worker's messages on an experiment with those settings, a word for each byte: a line for each, empty unless it is a refusal.
pub fn refusal(place: u32) -> Vec<u32> {
    let experiment = Experiment::from_toml(&format!("base = 'nano'\n{}", TOO_LARGE[place as usize]));
    let experiment = experiment.expect("settings of the right types");
    let page = Page::default();
    for request in [
        Request::Inspect { experiment: experiment.clone(), data: None },
        Request::Train { experiment, data: None, from: None },
    ] {
        at_once(answer(request, &Machine::Cpu(Some(1)), &Control::default(), &page));
    }
    let said = page.0.into_inner();
    let refusals = said.iter().map(|message| match message {
        Message::Refused { reason } => reason.as_str(),
        _ => "",
    });
    refusals.collect::<Vec<_>>().join("\n").bytes().map(u32::from).collect()
}

/// Keeps what the worker says.
#[derive(Default)]
struct Page(RefCell<Vec<Message>>);

impl Host for Page {
    fn seconds(&self) -> f64 {
        0.0
    }

    fn post(&self, message: Message) {
        self.0.borrow_mut().push(message);
    }

    fn breathe(&self) -> Wait<()> {
        Box::pin(std::future::ready(()))
    }

    fn tiny(&self) -> Wait<Result<Vec<u8>, String>> {
        Box::pin(std::future::ready(Err("there is no network here".to_owned())))
    }

    fn store_base(&self, _: &str, _: Base) {}

    fn stored_base(&self, _: &str) -> Option<Base> {
        None
    }
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

    /// [`super::split_text`] for a wasm host, returned in the same way.
    #[unsafe(no_mangle)]
    pub extern "C" fn probe_split_text(length: u32, sequences: u32) -> *const u32 {
        leak(super::split_text(length, sequences))
    }

    /// [`super::refusal`] for a wasm host, returned in the same way.
    #[unsafe(no_mangle)]
    pub extern "C" fn probe_refusal(place: u32) -> *const u32 {
        leak(super::refusal(place))
    }

    /// The host has no way to free memory, and drops the module as a whole.
    fn leak(mut words: Vec<u32>) -> *const u32 {
        words.insert(0, words.len() as u32);
        words.leak().as_ptr()
    }
}
