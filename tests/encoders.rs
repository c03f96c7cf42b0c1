//! Models that classify texts: logits, loss and the gradients of the adapters and of the head equal those of transformers and PEFT.
//!
//! `tests/fixtures/make_encoders.py` made the numbers of small random models, `make_minilm.py` those of MiniLM as it is with a new head.

use std::{path::PathBuf, sync::Arc};

use loralab_core::{
    device::{Cpu, Device, Gpu, Inputs, Probe, RunSettings, wait},
    graph::{
        memory::InputName,
        plan::{Optimizer, Plan, Shape},
        tape::{Purpose, Tape},
    },
    models::{Adapters, Base, Output, Training},
};
use safetensors::SafeTensors;
use serde::Deserialize;

use crate::{gpu, real};

/// All fixtures of small models.
const FIXTURES: [&str; 4] = ["bert", "bert_score", "roberta", "xlm_roberta"];

#[derive(Deserialize)]
struct Settings {
    rank: usize,
    alpha: f64,
    #[serde(default)]
    learning_rate: f64,
    #[serde(default)]
    weight_decay: f64,
    #[serde(default)]
    max_grad_norm: f64,
}

/// The results of transformers and PEFT.
struct Fixture {
    name: String,
    bytes: Vec<u8>,
    settings: Settings,
}

impl Fixture {
    fn open(name: &str) -> Fixture {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let bytes = std::fs::read(folder.join(format!("{name}.safetensors"))).expect("the fixture is in the tree");
        let (_, metadata) = SafeTensors::read_metadata(&bytes).expect("the fixture has a header");
        let settings = &metadata.metadata().as_ref().expect("the fixture has settings")["settings"];
        let settings = serde_json::from_str(settings).expect("settings as the script writes them");
        Fixture { name: name.to_owned(), bytes, settings }
    }

    fn tensor(&self, name: &str) -> (Vec<usize>, &[u8]) {
        let file = SafeTensors::deserialize(&self.bytes).expect("the fixture is whole");
        let tensor = file.tensor(name).unwrap_or_else(|error| panic!("{}: {name}: {error}", self.name));
        (tensor.shape().to_vec(), tensor.data())
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        self.tensor(name).1.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    }

    fn doubles(&self, name: &str) -> Vec<f64> {
        self.tensor(name).1.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect()
    }

    fn words(&self, name: &str) -> Vec<u32> {
        self.tensor(name).1.as_chunks().0.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect()
    }

    fn run(&self) -> RunSettings {
        RunSettings {
            scale: self.settings.alpha / self.settings.rank as f64,
            learning_rate_ratio: 1.0,
            weight_decay: self.settings.weight_decay,
            max_grad_norm: self.settings.max_grad_norm,
        }
    }

    fn plan(&self, base: &Base, shape: Shape, purpose: Purpose) -> Arc<Plan> {
        let target_modules = base.model.linears().into_iter().map(|linear| linear.name).collect();
        let adapters = Adapters::new(self.settings.rank, target_modules);
        let mut tape = Tape::new(shape, false);
        base.model.record(&mut tape, Training::Adapters(base, &adapters));
        Arc::new(tape.compile(purpose))
    }

    fn base(&self) -> Base {
        let base = self.tensor("base").1.to_vec();
        Base::from_safetensors(base).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// B and T of its batches.
    fn shape(&self) -> Shape {
        let (shape, _) = self.tensor("tokens");
        let [.., sequences, tokens] = shape[..] else { panic!("tokens of sequences") };
        Shape { runs: 1, sequences, tokens }
    }

    /// The batch of a small model.
    fn rows(&self) -> Rows {
        Rows::new(self.shape(), self.words("tokens"), self.words("mask"), self.words("types"), &self.floats("labels"))
    }

    /// Loads PEFT's adapter and head, and computes both passes.
    fn probe(&self, device: &mut dyn Device, plan: &Plan) -> Probe {
        let start: Vec<f32> =
            plan.parameters.iter().flat_map(|p| self.floats(&format!("adapter.{}", p.name))).collect();
        device.load(0, &start, &[], self.run());
        let rows = self.rows();
        wait(device.probe(&[rows.input()])).expect("the device does not fail").remove(0)
    }

    /// Holds a probe to the fixture: the largest differences of a logit, of the loss and of a gradient, relative to its norm.
    fn hold(&self, base: &Base, plan: &Plan, probe: &Probe) -> [f64; 3] {
        let (columns, name) = (base.model.output_columns(), &self.name);
        let first = probe.prediction.chunks(columns).step_by(plan.shape.tokens).flatten();
        let expected = self.floats("logits");
        assert_eq!(expected.len(), plan.shape.sequences * columns, "{name}: as many logits");
        let logit = expected.iter().zip(first).map(|(e, f)| f64::from((e - f).abs())).fold(0.0, worse);
        assert!(logit <= 1e-4, "{name}: a logit is {logit:e} away from transformers'");
        let expected = self.doubles("loss")[0];
        let loss = (probe.loss - expected).abs() / expected;
        assert!(loss <= 1e-5, "{name}: loss {}, but transformers says {expected}", probe.loss);
        let mut gradient = 0.0;
        for parameter in &plan.parameters {
            let expected = self.floats(&format!("gradient.{}", parameter.name));
            let found = &probe.gradient[parameter.span.range()];
            let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
            let difference = norm(&mut found.iter().zip(&expected).map(|(&f, &e)| f64::from(f) - f64::from(e)));
            let relative = difference / norm(&mut expected.iter().map(|&e| e.into()));
            let tensor = &parameter.name;
            assert!(relative <= 1e-3, "{name}: the gradient of {tensor} is {relative:e} of its norm away");
            gradient = worse(gradient, relative);
        }
        [logit, loss, gradient]
    }
}

/// The larger of two; NaN if one is.
fn worse(one: f64, other: f64) -> f64 {
    if one.is_nan() || one > other { one } else { other }
}

/// A batch of texts, each with a class or a score at its first token.
struct Rows {
    tokens: Vec<u32>,
    mask: Vec<u32>,
    types: Vec<u32>,
    targets: Vec<u32>,
    expected: Vec<f32>,
    weights: Vec<f32>,
}

impl Rows {
    fn new(shape: Shape, tokens: Vec<u32>, mask: Vec<u32>, types: Vec<u32>, labels: &[f32]) -> Rows {
        let of_first = |row: usize| row.is_multiple_of(shape.tokens).then(|| labels[row / shape.tokens]);
        let first: Vec<Option<f32>> = (0..tokens.len()).map(of_first).collect();
        let weight = 1.0 / shape.sequences as f32;
        Rows {
            tokens,
            mask,
            types,
            targets: first.iter().map(|label| label.unwrap_or(0.0) as u32).collect(),
            expected: first.iter().map(|label| label.unwrap_or(0.0)).collect(),
            weights: first.iter().map(|label| if label.is_some() { weight } else { 0.0 }).collect(),
        }
    }

    fn input(&self) -> Inputs<'_> {
        Inputs::new()
            .with(InputName::Tokens, &self.tokens)
            .with(InputName::Segments, &self.mask)
            .with(InputName::TokenTypes, &self.types)
            .with(InputName::Targets, &self.targets)
            .with(InputName::Expected, &self.expected)
            .with(InputName::Weights, &self.weights)
    }
}

#[test]
fn on_the_cpu_encoders_compute_what_transformers_does() {
    for name in FIXTURES {
        let fixture = Fixture::open(&format!("encoders/{name}"));
        let base = fixture.base();
        let plan = fixture.plan(&base, fixture.shape(), Purpose::Probe);
        let file = SafeTensors::deserialize(&fixture.bytes).expect("the fixture is whole");
        for tensor in file.names().into_iter().filter_map(|name| name.strip_prefix("adapter.")) {
            assert!(plan.parameters.iter().any(|p| p.name == tensor), "{name}: {tensor} is not trained");
        }
        let mut device = Cpu::<f32>::new(plan.clone(), base.tensors.clone(), Some(1));
        let [logit, loss, gradient] = fixture.hold(&base, &plan, &fixture.probe(&mut device, &plan));
        println!("{name}: logits within {logit:.1e}, loss {loss:.1e}, gradients {gradient:.1e}");
    }
}

#[test]
fn on_the_gpu_encoders_compute_what_transformers_does() {
    for (limits, accelerator) in [("native", gpu::native()), ("a browser's", gpu::web_base())] {
        for name in FIXTURES {
            let fixture = Fixture::open(&format!("encoders/{name}"));
            let base = fixture.base();
            let plan = fixture.plan(&base, fixture.shape(), Purpose::Probe);
            let device = wait(Gpu::new(accelerator.clone(), plan.clone(), base.tensors.clone()));
            let mut device = device.unwrap_or_else(|error| panic!("{name}: {error}"));
            let [logit, loss, gradient] = fixture.hold(&base, &plan, &fixture.probe(&mut device, &plan));
            println!("{name}, {limits} limits: logits within {logit:.1e}, loss {loss:.1e}, gradients {gradient:.1e}");
        }
    }
}

/// A comparison that every result passes would prove nothing.
#[test]
#[should_panic(expected = "the gradient of classifier.out_proj.weight")]
fn another_gradient_of_the_head_is_found() {
    let fixture = Fixture::open("encoders/roberta");
    let base = fixture.base();
    let plan = fixture.plan(&base, fixture.shape(), Purpose::Probe);
    let mut device = Cpu::<f32>::new(plan.clone(), base.tensors.clone(), Some(1));
    let mut probe = fixture.probe(&mut device, &plan);
    let head = plan.head.iter().find(|tensor| tensor.name == "classifier.out_proj.weight").expect("the head has it");
    probe.gradient[head.span.range()].iter_mut().for_each(|x| *x *= 1.01);
    fixture.hold(&base, &plan, &probe);
}

/// A checkpoint's own head is where training begins, until there are other classes.
#[test]
fn a_head_of_the_checkpoint_is_used() {
    let base = Fixture::open("encoders/bert").base();
    let shape = Shape { runs: 1, sequences: 1, tokens: 4 };
    let values = |base: &Base| {
        let fixture = Fixture::open("encoders/bert");
        let plan = fixture.plan(base, shape, Purpose::Evaluate);
        plan.head.iter().map(|tensor| tensor.values(7)).collect::<Vec<_>>()
    };
    let drawn = values(&base);
    assert!(drawn[0].iter().any(|x| *x != 0.0) && drawn[0].iter().all(|x| x.abs() < 0.2));
    assert!(drawn[1].iter().all(|x| *x == 0.0));
    let tensors = base.model.head().into_iter().map(|(name, shape)| loralab_core::graph::memory::Tensor {
        name,
        shape,
        data: loralab_core::graph::memory::Data::F32(vec![0.5; shape[0] * shape[1]].into()),
    });
    let tensors = base.tensors.iter().cloned().chain(tensors).collect();
    let bytes = Base { tensors, model: base.model.clone() }.to_safetensors().expect("tensors of their shapes");
    let whole = Base::from_safetensors(bytes).expect("a base with its head");
    assert!(values(&whole).iter().flatten().all(|x| *x == 0.5));
    let names = |count: usize| (0..count).map(|index| format!("class {index}")).collect::<Vec<_>>();
    assert!(values(&whole.with_labels(&names(3)).expect("three")).iter().flatten().all(|x| *x == 0.5));
    let other = whole.with_labels(&names(5)).expect("five");
    assert_eq!((other.model.output(), other.model.labels()), (Output::Classes(5), &names(5)[..]));
    assert_eq!(values(&other)[1], [0.0; 5]);
    assert_eq!(whole.with_labels(&names(1)).expect("a score").model.output(), Output::Score);
}

#[test]
fn minilm_classifies_and_learns_as_peft_does() {
    let (fixture, Some(base)) = (Fixture::open("minilm"), real::base("minilm")) else { return };
    let (shape, labels) = (fixture.shape(), fixture.words("labels"));
    let rows = shape.rows_per_run();
    let (tokens, mask) = (fixture.words("tokens"), fixture.words("mask"));
    let batches = tokens.chunks(rows).zip(mask.chunks(rows)).zip(labels.chunks(shape.sequences));
    let batches: Vec<Rows> = batches
        .map(|((tokens, mask), labels)| {
            let labels: Vec<f32> = labels.iter().map(|&label| label as f32).collect();
            Rows::new(shape, tokens.to_vec(), mask.to_vec(), vec![0; rows], &labels)
        })
        .collect();
    let start = |plan: &Plan| -> Vec<f32> {
        let of_parameter = |p: &loralab_core::graph::memory::Parameter| match p.name.contains("lora_A")
            || p.name == "classifier.weight"
        {
            true => real::start(&p.name, p.shape),
            false => vec![0.0; p.span.len],
        };
        plan.parameters.iter().flat_map(of_parameter).collect()
    };
    let plan = fixture.plan(&base, shape, Purpose::Predict);
    let mut device = Cpu::<f32>::new(plan.clone(), base.tensors.clone(), None);
    device.load(0, &start(&plan), &[], fixture.run());
    let found = device.predict(&[batches[0].input()]).remove(0);
    let first = found.chunks(2).step_by(shape.tokens).flatten();
    let expected = fixture.doubles("logits");
    let logit = expected.iter().zip(first).map(|(e, &f)| (e - f64::from(f)).abs()).fold(0.0, worse);
    assert!(logit <= 1e-4, "a logit is {logit:e} away from transformers'");

    let plan = fixture.plan(&base, shape, Purpose::Train(Optimizer::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }));
    let mut device = Cpu::<f32>::new(plan.clone(), base.tensors.clone(), None);
    device.load(0, &start(&plan), &[], fixture.run());
    let mut worst = 0.0;
    let losses = fixture.doubles("losses");
    assert_eq!(losses.len(), batches.len());
    for ((step, expected), rows) in losses.iter().enumerate().zip(&batches) {
        let report = device.step(&[rows.input()], &[fixture.settings.learning_rate]).remove(0);
        let loss = report.expect("the run does not diverge").loss;
        let error = (loss - expected).abs() / expected;
        assert!(error <= 1e-3, "step {}: loss {loss}, but PEFT says {expected}", step + 1);
        worst = worse(worst, error);
    }
    println!("MiniLM: logits within {logit:.1e}, {} losses within {worst:.1e}", losses.len());
}
