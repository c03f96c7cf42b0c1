//! Models small enough for finite differences and error bounds: how they are recorded, their weights, their rows.

use loralab_core::graph::memory::InputName;
use loralab_data::Batch;
use std::sync::Arc;

use loralab_core::{
    device::{Cpu, Inputs, RunSettings},
    graph::{
        memory::{Data, Group, Tensor, Weight},
        ops::{Attend, dropout::noise},
        plan::{Optimizer, Plan, Shape},
        tape::{Purpose, Tape},
    },
    models::{
        Adapters, Base, Model, Training,
        llama::{Config, MODULES},
        teacher_student::{self, Network, teacher_student},
    },
};
use loralab_cpu::Scalar;
use loralab_experiment::{Form, Readout};
use loralab_linalg::{Draws, Stream};

/// The purpose that gradients are compiled for; no test here takes a step.
pub const TRAIN: Purpose = Purpose::Train(Optimizer::SignSgd);

/// No decay, no clipping, a scale that is no power of two.
pub const SETTINGS: RunSettings =
    RunSettings { scale: 1.7, learning_rate_ratio: 1.0, weight_decay: 0.0, max_grad_norm: 0.0 };

/// A model with everything that a gradient needs.
pub struct Subject {
    /// In words.
    pub what: &'static str,
    /// B and T of its one run.
    pub shape: Shape,
    /// True if its adapters have a frozen second pair.
    pub frozen_pairs: bool,
    /// Its frozen weights.
    pub base: Arc<[Tensor]>,
    /// Its rows.
    pub rows: Rows,
    record: Box<dyn Fn(&mut Tape)>,
}

impl Subject {
    /// The recorded model.
    pub fn tape(&self) -> Tape {
        let mut tape = Tape::new(self.shape, self.frozen_pairs);
        (self.record)(&mut tape);
        tape
    }

    /// A device at the subject's start.
    pub fn device<S: Scalar>(&self, plan: Plan) -> Cpu<S> {
        let (trained, frozen_pairs) = (self.trained(&plan), self.frozen_pairs(&plan));
        let mut device = Cpu::new(Arc::new(plan), self.base.clone(), Some(1));
        device.load(0, &trained, &frozen_pairs, SETTINGS);
        device
    }

    /// Trained tensors, none of them zero.
    pub fn trained(&self, plan: &Plan) -> Vec<f32> {
        values(plan, "trained")
    }

    /// Frozen second pairs that are not the trained ones; empty where the plan has none.
    pub fn frozen_pairs(&self, plan: &Plan) -> Vec<f32> {
        if plan.frozen_pairs { values(plan, "frozen") } else { vec![] }
    }
}

/// The rows of one run.
pub struct Rows {
    tokens: Vec<u32>,
    targets: Vec<u32>,
    weights: Vec<f32>,
    features: Vec<f32>,
    expected: Vec<f32>,
    segments: Vec<u32>,
    noise: Vec<u32>,
}

impl Rows {
    /// The rows as the data give them, of a decoder.
    pub fn batch(&self) -> Batch {
        let (tokens, targets, weights) = (self.tokens.clone(), self.targets.clone(), self.weights.clone());
        Batch { tokens, targets, weights, ..Batch::default() }
    }

    /// The device's view.
    pub fn input(&self) -> Inputs<'_> {
        let Rows { tokens, targets, weights, features, expected, segments, noise } = self;
        Inputs::new()
            .with(InputName::Tokens, tokens)
            .with(InputName::Targets, targets)
            .with(InputName::Weights, weights)
            .with(InputName::Features, features)
            .with(InputName::Expected, expected)
            .with(InputName::Segments, segments)
            .with(InputName::Noise, noise)
    }
}

/// A decoder, grouped-query where `kv_heads` is 1.
pub fn config(layers: usize, kv_heads: usize, tied: bool) -> Config {
    Config {
        vocabulary: 11,
        width: 8,
        layers,
        heads: 2,
        kv_heads,
        feed_forward: 12,
        rope_theta: 100.0,
        epsilon: 1e-5,
        tied,
        tokens: 5,
    }
}

/// A base of random weights.
pub fn base(config: &Config) -> Base {
    let tensor = |(name, shape): (String, [usize; 2])| {
        let group = if shape[0] == 1 { Group::Gain } else { Group::Matrix };
        let data = Data::F32(weight(&name, shape, group).into());
        Tensor { name, shape, data }
    };
    let model = Model::from(config.clone());
    Base { tensors: model.tensors().into_iter().map(tensor).collect(), model }
}

/// Every kind of model there is, decoders with so many layers, and a graph that stresses the reverse pass.
pub fn subjects(layers: usize) -> Vec<Subject> {
    let short = Shape { runs: 1, sequences: 2, tokens: 5 };
    let (grouped, plain) = (config(layers, 1, true), config(layers, 2, false));
    vec![
        adapted("adapters on every module, tied embedding, shared key-value heads", short, &grouped, &MODULES, false),
        adapted("adapters with a frozen second pair, separate head", short, &plain, &MODULES, true),
        adapted("adapters on queries and values only", short, &grouped, &["q_proj", "v_proj"], false),
        adapted("adapters on the last projection only", short, &plain, &["down_proj"], true),
        dropped("adapters with dropout", short, &grouped, false),
        dropped("adapters with dropout and a frozen second pair", short, &plain, true),
        everything("every weight trained, tied embedding", short, &grouped),
        everything("every weight trained, separate head", short, &plain),
        regression("teacher–student network", short, |tape| teacher_student(tape, NETWORK)),
        regression("values read by many ops", short, entangled),
        regression("attention of every kind", short, attentive),
        recomputed("adapters, layers computed again", adapted("", short, &grouped, &MODULES, true)),
        recomputed("every weight trained, layers computed again", everything("", short, &plain)),
    ]
}

/// The same with its layers computed again in the backward pass.
pub fn recomputed(what: &'static str, subject: Subject) -> Subject {
    let Subject { record, .. } = subject;
    let record = move |tape: &mut Tape| {
        record(tape);
        tape.recompute_layers(true);
    };
    Subject { what, record: Box::new(record), ..subject }
}

/// A decoder whose rows are cut into two micro-batches on the CPU.
pub fn two_micro_batches() -> Subject {
    let shape = Shape { runs: 1, sequences: 4, tokens: 64 };
    adapted("adapters, rows in two micro-batches", shape, &config(2, 1, true), &MODULES, false)
}

const NETWORK: Network = Network { inputs: 3, width: 7, rank: 2, form: Form::Residual, readout: Readout::Standard };

fn adapted(what: &'static str, shape: Shape, config: &Config, target_modules: &[&str], frozen_pairs: bool) -> Subject {
    let base = base(config);
    let rows = token_rows(shape, base.model.vocabulary());
    let target_modules = target_modules.iter().map(ToString::to_string).collect();
    let adapters = Adapters::new(3, target_modules);
    let tensors = base.tensors.clone();
    let record = move |tape: &mut Tape| base.model.record(tape, Training::Adapters(&base, &adapters));
    Subject { what, shape, frozen_pairs, base: tensors, rows, record: Box::new(record) }
}

/// Adapters on every module, whose inputs are dropped by the same masks at every pass.
fn dropped(what: &'static str, shape: Shape, config: &Config, frozen_pairs: bool) -> Subject {
    let Subject { base, rows, record, .. } = adapted(what, shape, config, &MODULES, frozen_pairs);
    let record = Box::new(move |tape: &mut Tape| {
        tape.dropout(0.3);
        record(tape);
    });
    Subject { what, shape, frozen_pairs, base, rows, record }
}

fn everything(what: &'static str, shape: Shape, config: &Config) -> Subject {
    let model = Model::from(config.clone());
    let rows = token_rows(shape, model.vocabulary());
    let record = move |tape: &mut Tape| model.record(tape, Training::Everything);
    Subject { what, shape, frozen_pairs: false, base: Arc::from([]), rows, record: Box::new(record) }
}

fn regression(what: &'static str, shape: Shape, record: fn(&mut Tape)) -> Subject {
    let base = teacher_student::weights(NETWORK, 1, "network").into();
    Subject { what, shape, frozen_pairs: false, base, rows: feature_rows(shape), record: Box::new(record) }
}

/// Values that several ops read, in every order in which gradients can be shared, copied or added to.
fn entangled(tape: &mut Tape) {
    let Network { inputs, width, .. } = NETWORK;
    let maps = ["first", "second", "third"].map(|name| tape.parameter(name, [width, width], Group::Matrix));
    let enter = tape.parameter("enter", [width, inputs], Group::Matrix);
    let [gain, bias] = ["gain", "bias"].map(|name| tape.parameter(name, [1, width], Group::Gain));
    let x = tape.features(inputs);
    let u = tape.linear(x, Weight::Trained(enter), None, width);
    let v = tape.linear(u, Weight::Trained(maps[0]), Some(Weight::Trained(bias)), width);
    let w = tape.swiglu(v, u);
    let sum = tape.add(u, w);
    let sum = tape.add(sum, u);
    let sum = tape.add(v, sum);
    let other = tape.add(w, sum);
    let t = tape.rms_norm(other, Weight::Trained(gain), 1e-5);
    let t = tape.linear(t, Weight::Trained(maps[1]), None, width);
    let unused = tape.linear(t, Weight::Trained(maps[2]), None, width);
    tape.swiglu(unused, t);
    let sum = tape.add(sum, t);
    let sum = tape.add(other, sum);
    let y = tape.linear(sum, Weight::Frozen(1), None, 1);
    tape.mse(y);
}

/// Attention by every rule over the same rows, with scores large enough to matter.
fn attentive(tape: &mut Tape) {
    let Network { inputs, width, .. } = NETWORK;
    let x = tape.features(inputs);
    let plain = Attend { scale: 3.0, ..Attend::causal(4) };
    let encoder = Attend { causal: false, segments: true, ..plain };
    let rules = [
        Attend { segments: false, window: Some(2), ..encoder },
        Attend { cap: Some(0.6), ..encoder },
        Attend { segments: true, window: Some(2), ..plain },
    ];
    let mut all = vec![];
    for (place, attend) in rules.into_iter().enumerate() {
        let [q, k, v] = [("q", 8), ("k", 4), ("v", 4)].map(|(name, outputs)| {
            let matrix = tape.parameter(format!("{name}.{place}"), [outputs, inputs], Group::Matrix);
            tape.linear(x, Weight::Trained(matrix), None, outputs)
        });
        all.push(tape.attention(q, k, v, attend));
    }
    let sum = tape.add(all[0], all[1]);
    let sum = tape.add(sum, all[2]);
    let last = tape.parameter("last", [width, 8], Group::Matrix);
    let x = tape.linear(sum, Weight::Trained(last), None, width);
    let y = tape.linear(x, Weight::Frozen(1), None, 1);
    tape.mse(y);
}

/// Random tokens and targets.
pub fn token_rows(shape: Shape, vocabulary: usize) -> Rows {
    let mut draws = Draws::new(1, "rows");
    let count = shape.rows_per_run();
    let mut tokens = || -> Vec<u32> { (0..count).map(|_| draws.below(vocabulary as u32)).collect() };
    let (tokens, targets) = (tokens(), tokens());
    Rows {
        tokens,
        targets,
        weights: row_weights(count),
        features: vec![],
        expected: vec![],
        segments: vec![],
        noise: noise(3, 1, 0..count),
    }
}

fn feature_rows(shape: Shape) -> Rows {
    let count = shape.rows_per_run();
    let features = normal("features", 1.0, count * NETWORK.inputs);
    Rows {
        tokens: vec![],
        targets: vec![],
        weights: row_weights(count),
        features,
        expected: normal("expected", 1.0, count),
        // Padding at an end; the first sequence ends with the number with which the second begins, which is another segment.
        segments: (0..count).map(|row| [0, 2, 2, 1, 1, 1, 1, 1, 0, 2][row % 10]).collect(),
        noise: vec![],
    }
}

/// Weights that sum to about 1 and differ; every third row does not count.
fn row_weights(count: usize) -> Vec<f32> {
    (0..count).map(|row| if row % 3 == 2 { 0.0 } else { (1.0 + 0.5 * (row % 4) as f32) / count as f32 }).collect()
}

fn values(plan: &Plan, what: &str) -> Vec<f32> {
    plan.parameters.iter().flat_map(|p| weight(&format!("{what}.{}", p.name), p.shape, p.group)).collect()
}

/// A matrix that halves the size of what it is applied to, a B that makes it smaller still, as adapters do, or a gain near 1.
fn weight(name: &str, shape: [usize; 2], group: Group) -> Vec<f32> {
    let [rows, columns] = shape;
    let std = 0.5 * (columns as f32).sqrt().recip();
    match group {
        Group::Gain => normal(name, 0.2, columns).into_iter().map(|x| 1.0 + x).collect(),
        Group::B => normal(name, 0.3 * std, rows * columns),
        Group::A | Group::Matrix => normal(name, std, rows * columns),
    }
}

fn normal(name: &str, std: f32, len: usize) -> Vec<f32> {
    let mut values = vec![0.0; len];
    Stream::new(1, name).normal(std, &mut values);
    values
}
