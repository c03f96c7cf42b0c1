//! Every family and variant of models: logits, loss and the gradient of every adapter tensor equal those of transformers and PEFT.
//!
//! `tests/fixtures/make_models.py` made the numbers, of small random models. On the CPU, and on the GPU with its own limits and with a browser's.

use std::{path::PathBuf, sync::Arc};

use loralab_core::{
    device::{Cpu, Device, Gpu, Inputs, Probe, RunSettings, wait},
    graph::{
        memory::InputName,
        plan::{Plan, Shape},
        tape::{Purpose, Tape},
    },
    models::{Adapters, Base, Training},
};
use safetensors::SafeTensors;
use serde::Deserialize;

use crate::gpu;

/// All fixtures.
pub const FIXTURES: &[&str] = &[
    "llama",
    "llama_wide",
    "llama_biases",
    "llama_linear",
    "llama_llama3",
    "llama_yarn",
    "mistral",
    "smollm3",
    "qwen2",
    "qwen3",
    "gemma2",
    "gemma3",
    "gpt2",
];

#[derive(Deserialize)]
struct Settings {
    rank: usize,
    alpha: f64,
}

/// A file of results that transformers and PEFT computed, and the model they did it with.
pub struct Fixture {
    name: &'static str,
    bytes: Vec<u8>,
    settings: Settings,
    pub base: Base,
    shape: Shape,
}

impl Fixture {
    pub fn open(name: &'static str) -> Fixture {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models");
        let bytes = std::fs::read(folder.join(format!("{name}.safetensors"))).expect("the fixture is in the tree");
        let (_, metadata) = SafeTensors::read_metadata(&bytes).expect("the fixture has a header");
        let settings = &metadata.metadata().as_ref().expect("the fixture has settings")["settings"];
        let settings = serde_json::from_str(settings).expect("settings as the script writes them");
        let file = SafeTensors::deserialize(&bytes).expect("the fixture is whole");
        let base = file.tensor("base").expect("the fixture has a base").data();
        let base = Base::from_safetensors(base.to_vec()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let &[sequences, tokens] = file.tensor("tokens").expect("the fixture has tokens").shape() else {
            panic!("tokens of sequences")
        };
        Fixture { name, settings, base, shape: Shape { runs: 1, sequences, tokens }, bytes }
    }

    fn tensor(&self, name: &str) -> Vec<u8> {
        let file = SafeTensors::deserialize(&self.bytes).expect("the fixture is whole");
        file.tensor(name).unwrap_or_else(|error| panic!("{}: {name}: {error}", self.name)).data().to_vec()
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        self.tensor(name).as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    }

    fn words(&self, name: &str) -> Vec<u32> {
        self.tensor(name).as_chunks().0.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect()
    }

    fn plan(&self) -> Plan {
        let target_modules = self.base.model.linears().into_iter().map(|linear| linear.name).collect();
        let adapters = Adapters::new(self.settings.rank, target_modules);
        let mut tape = Tape::new(self.shape, false);
        self.base.model.record(&mut tape, Training::Adapters(&self.base, &adapters));
        tape.compile(Purpose::Probe)
    }

    /// Loads PEFT's adapter and computes both passes.
    fn probe(&self, device: &mut dyn Device, plan: &Plan) -> Probe {
        let start: Vec<f32> =
            plan.parameters.iter().flat_map(|p| self.floats(&format!("adapter.{}", p.name))).collect();
        let scale = self.settings.alpha / self.settings.rank as f64;
        device.load(0, &start, &[], RunSettings { scale, ..RunSettings::PLAIN });
        let rows = self.rows();
        let mut probes = wait(device.probe(&[rows.input()])).expect("the device does not fail");
        probes.remove(0)
    }

    fn rows(&self) -> Rows {
        let (tokens, mask) = (self.words("tokens"), self.tensor("mask"));
        let next =
            |row: usize| (row + 1 < mask.len() && !(row + 1).is_multiple_of(self.shape.tokens)).then_some(row + 1);
        let counts: Vec<bool> = (0..mask.len()).map(|row| next(row).is_some_and(|next| mask[next] == 1)).collect();
        let counted = counts.iter().filter(|&&counts| counts).count() as f32;
        Rows {
            targets: (0..tokens.len()).map(|row| next(row).map_or(0, |next| tokens[next])).collect(),
            weights: counts.iter().map(|&counts| if counts { counted.recip() } else { 0.0 }).collect(),
            tokens,
        }
    }

    /// Holds a probe to the fixture: the largest differences of a logit, of the loss and of a gradient, relative to its norm.
    fn hold(&self, plan: &Plan, probe: &Probe) -> [f64; 3] {
        let (logits, mask) = (self.floats("logits"), self.tensor("mask"));
        let vocabulary = self.base.model.vocabulary();
        assert_eq!(logits.len(), probe.prediction.len(), "{}: as many logits", self.name);
        let rows = logits.chunks(vocabulary).zip(probe.prediction.chunks(vocabulary)).zip(&mask);
        let real = rows.filter(|(_, mask)| **mask == 1).flat_map(|((expected, found), _)| expected.iter().zip(found));
        let logit = real.map(|(&e, &f)| (f64::from(e) - f64::from(f)).abs()).fold(0.0, worse);
        assert!(logit <= 1e-4, "{}: a logit is {logit:e} away from transformers'", self.name);

        let bytes = self.tensor("loss");
        let expected = f64::from_le_bytes(bytes.as_chunks().0[0]);
        let loss = (probe.loss - expected).abs() / expected;
        assert!(loss <= 1e-5, "{}: loss {}, but transformers says {expected}", self.name, probe.loss);

        let mut gradient = 0.0;
        assert!(!plan.parameters.is_empty());
        for parameter in &plan.parameters {
            let expected = self.floats(&format!("gradient.{}", parameter.name));
            let found = &probe.gradient[parameter.span.range()];
            let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
            let difference = norm(&mut found.iter().zip(&expected).map(|(&f, &e)| f64::from(f) - f64::from(e)));
            let relative = difference / norm(&mut expected.iter().map(|&e| e.into()));
            let name = &parameter.name;
            assert!(relative <= 1e-3, "{}: the gradient of {name} is {relative:e} of its norm away", self.name);
            gradient = worse(gradient, relative);
        }
        [logit, loss, gradient]
    }

    /// Every tensor of an adapter that PEFT has is trained here.
    fn covers(&self, plan: &Plan) {
        let file = SafeTensors::deserialize(&self.bytes).expect("the fixture is whole");
        for name in file.names().into_iter().filter_map(|name| name.strip_prefix("adapter.")) {
            assert!(plan.parameters.iter().any(|p| p.name == name), "{}: {name} is not trained", self.name);
        }
    }
}

/// The larger of two; NaN if one is.
fn worse(one: f64, other: f64) -> f64 {
    if one.is_nan() || one > other { one } else { other }
}

struct Rows {
    tokens: Vec<u32>,
    targets: Vec<u32>,
    weights: Vec<f32>,
}

impl Rows {
    fn input(&self) -> Inputs<'_> {
        Inputs::new()
            .with(InputName::Tokens, &self.tokens)
            .with(InputName::Targets, &self.targets)
            .with(InputName::Weights, &self.weights)
    }
}

#[test]
fn on_the_cpu_every_family_computes_what_transformers_does() {
    for name in FIXTURES {
        let fixture = Fixture::open(name);
        let plan = Arc::new(fixture.plan());
        fixture.covers(&plan);
        let mut device = Cpu::<f32>::new(plan.clone(), fixture.base.tensors.clone(), Some(1));
        let [logit, loss, gradient] = fixture.hold(&plan, &fixture.probe(&mut device, &plan));
        println!("{name}: logits within {logit:.1e}, loss {loss:.1e}, gradients {gradient:.1e}");
    }
}

#[test]
fn on_the_gpu_every_family_computes_what_transformers_does() {
    for (limits, accelerator) in [("native", gpu::native()), ("a browser's", gpu::web_base())] {
        for name in FIXTURES {
            let fixture = Fixture::open(name);
            let plan = Arc::new(fixture.plan());
            let device = wait(Gpu::new(accelerator.clone(), plan.clone(), fixture.base.tensors.clone()));
            let mut device = device.unwrap_or_else(|error| panic!("{name}: {error}"));
            let [logit, loss, gradient] = fixture.hold(&plan, &fixture.probe(&mut device, &plan));
            println!("{name}, {limits} limits: logits within {logit:.1e}, loss {loss:.1e}, gradients {gradient:.1e}");
        }
    }
}

/// A comparison that every result passes would prove nothing.
#[test]
#[should_panic(expected = "away from transformers'")]
fn another_logit_is_found() {
    let fixture = Fixture::open("llama");
    let plan = fixture.plan();
    let mut device = Cpu::<f32>::new(Arc::new(plan.clone()), fixture.base.tensors.clone(), Some(1));
    let mut probe = fixture.probe(&mut device, &plan);
    probe.prediction[3] += 2e-4;
    fixture.hold(&plan, &probe);
}
