//! The same training in PyTorch + PEFT and here: `tests/fixtures/make_peft.py` made the numbers, and `make_adamw.py` those of betas near 1.

use loralab_core::graph::memory::InputName;
use std::{collections::BTreeMap, sync::Arc};

use loralab_core::{
    device::{Cpu, Device, Gpu, Inputs, RunSettings, wait},
    graph::{
        plan::{Optimizer, Plan, Shape},
        tape::{Purpose, Tape},
    },
    lab::adapters,
    models::Training,
};
use loralab_experiment::{Experiment, Resolved};
use safetensors::SafeTensors;
use serde::Deserialize;

use super::{ADAMW, NANO};
use crate::gpu;

const PLAIN: &[u8] = include_bytes!("../fixtures/peft.safetensors");
const PATTERNS: &[u8] = include_bytes!("../fixtures/peft_patterns.safetensors");
const NEAR_ONE: &[u8] = include_bytes!("../fixtures/adamw.safetensors");

#[derive(Deserialize)]
struct Settings {
    rank: usize,
    alpha: f64,
    learning_rate: f64,
    weight_decay: f64,
    max_grad_norm: f64,
    #[serde(default)]
    rank_pattern: BTreeMap<String, usize>,
    #[serde(default)]
    alpha_pattern: BTreeMap<String, f64>,
}

struct Fixture {
    file: SafeTensors<'static>,
    settings: Settings,
    /// Steps, B, T.
    shape: [usize; 3],
}

impl Fixture {
    fn open(file: &'static [u8]) -> Fixture {
        let (_, metadata) = SafeTensors::read_metadata(file).expect("the fixture has a header");
        let settings = &metadata.metadata().as_ref().expect("the fixture has settings")["settings"];
        let file = SafeTensors::deserialize(file).expect("the fixture is whole");
        let shape = file.tensor("tokens").expect("the fixture has tokens").shape().try_into().expect("three axes");
        Fixture { settings: serde_json::from_str(settings).expect("settings as the script writes them"), file, shape }
    }

    fn bytes(&self, name: &str) -> &[u8] {
        self.file.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}")).data()
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        self.bytes(name).as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    }

    fn losses(&self) -> Vec<f64> {
        self.bytes("losses").as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect()
    }

    fn plan(&self, optimizer: Optimizer) -> Plan {
        let adapters = adapters(&NANO, &self.experiment());
        let [_, sequences, tokens] = self.shape;
        let mut tape = Tape::new(Shape { runs: 1, sequences, tokens }, false);
        NANO.model.record(&mut tape, Training::Adapters(&NANO, &adapters));
        tape.compile(Purpose::Train(optimizer))
    }

    fn experiment(&self) -> Resolved {
        fn entries<T: ToString>(pattern: &BTreeMap<String, T>) -> Option<Vec<String>> {
            (!pattern.is_empty()).then(|| pattern.iter().map(|(name, x)| format!("{name}={}", x.to_string())).collect())
        }
        let Settings { rank, alpha, rank_pattern, alpha_pattern, .. } = &self.settings;
        let (rank_pattern, alpha_pattern) = (entries(rank_pattern), entries(alpha_pattern));
        let experiment =
            Experiment { rank: Some(*rank), alpha: Some(*alpha), rank_pattern, alpha_pattern, ..Experiment::default() };
        experiment.resolve(&["init-a", "init-b"]).expect("sound settings")
    }

    fn run_settings(&self) -> RunSettings {
        RunSettings {
            scale: self.settings.alpha / self.settings.rank as f64,
            learning_rate_ratio: 1.0,
            weight_decay: self.settings.weight_decay,
            max_grad_norm: self.settings.max_grad_norm,
        }
    }

    fn start(&self, plan: &Plan) -> Vec<f32> {
        plan.parameters.iter().flat_map(|p| self.floats(&format!("start.{}", p.name))).collect()
    }

    /// PEFT's device at PEFT's start.
    fn device(&self, plan: &Plan) -> Cpu<f32> {
        let mut device = Cpu::new(Arc::new(plan.clone()), NANO.tensors.clone(), Some(1));
        device.load(0, &self.start(plan), &[], self.run_settings());
        device
    }

    fn rows(&self, step: usize) -> Rows {
        let [_, sequences, tokens] = self.shape;
        let range = step * sequences * tokens..(step + 1) * sequences * tokens;
        let part = |name| self.bytes(name)[range.clone()].iter();
        let counted = part("mask").filter(|&&mask| mask == 1).count();
        Rows {
            tokens: part("tokens").map(|&token| token.into()).collect(),
            targets: part("targets").map(|&token| token.into()).collect(),
            weights: part("mask").map(|&mask| f32::from(mask) / counted as f32).collect(),
        }
    }
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
fn the_first_loss_and_every_gradient_are_pefts() {
    for file in [PLAIN, PATTERNS] {
        first_step(&Fixture::open(file));
    }
}

fn first_step(fixture: &Fixture) {
    let plan = fixture.plan(ADAMW);
    let (loss, gradient) = fixture.device(&plan).gradient(0, fixture.rows(0).input());
    let expected = fixture.losses()[0];
    let error = (f64::from(loss) - expected).abs() / expected;
    println!("loss before the first step: {loss}, relative difference {error:.1e}");
    assert!(error <= 1e-5, "loss {loss}, but PyTorch says {expected}");

    let mut worst = (0.0, "");
    for parameter in &plan.parameters {
        let expected = fixture.floats(&format!("gradient.{}", parameter.name));
        let found = &gradient[parameter.span.range()];
        assert_eq!(found.len(), expected.len());
        let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
        let difference = norm(&mut found.iter().zip(&expected).map(|(&f, &e)| f64::from(f) - f64::from(e)));
        let relative = difference / norm(&mut expected.iter().map(|&e| e.into()));
        assert!(relative <= 1e-4, "{}: the gradient is {relative:e} of its norm away from PyTorch's", parameter.name);
        if relative > worst.0 {
            worst = (relative, &parameter.name);
        }
    }
    println!("gradients of the first step: worst difference {:.1e} of the norm, in {}", worst.0, worst.1);
}

#[test]
fn all_losses_are_pefts() {
    for (file, steps) in [(PLAIN, 50), (PATTERNS, 10)] {
        let fixture = Fixture::open(file);
        assert_eq!(fixture.losses().len(), steps);
        all_losses(&fixture);
    }
}

#[test]
fn patterns_give_modules_their_own_ranks_and_scales() {
    let fixture = Fixture::open(PATTERNS);
    let plan = fixture.plan(ADAMW);
    let of = |module: &str| plan.sites.iter().find(|site| site.module.ends_with(module)).expect("a site");
    let found = ["q_proj", "v_proj", "o_proj", "layers.0.mlp.down_proj", "layers.1.mlp.down_proj"]
        .map(|module| (of(module).rank, of(module).factor));
    assert_eq!(found, [(2, 3.0), (4, 0.625), (4, 1.0), (4, 1.0), (6, 4.0 / 6.0)]);
}

fn all_losses(fixture: &Fixture) {
    let mut device = fixture.device(&fixture.plan(ADAMW));
    let losses = fixture.losses();
    let (steps, mut worst) = (losses.len(), 0.0_f64);
    for (step, expected) in losses.into_iter().enumerate() {
        let learning_rate = fixture.settings.learning_rate * (steps - step) as f64 / steps as f64;
        let rows = fixture.rows(step);
        let report = device.step(&[rows.input()], &[learning_rate]).remove(0).expect("the run does not diverge");
        let error = (report.loss - expected).abs() / expected;
        assert!(error <= 1e-3, "step {}: loss {}, but PyTorch says {expected}", step + 1, report.loss);
        worst = worst.max(error);
    }
    println!("{steps} losses: worst relative difference {worst:.1e}");
}

#[derive(Deserialize)]
struct NearOne {
    betas: Vec<[f64; 2]>,
    learning_rate: f64,
}

/// On the CPU and on the GPU, at betas of which `f32` holds the difference from 1 to 8·10⁻⁵ of itself and less.
#[test]
fn losses_at_betas_near_1_are_pytorchs() {
    let fixture = Fixture::open(PLAIN);
    let (_, metadata) = SafeTensors::read_metadata(NEAR_ONE).expect("the fixture has a header");
    let settings = &metadata.metadata().as_ref().expect("the fixture has settings")["settings"];
    let NearOne { betas, learning_rate } = serde_json::from_str(settings).expect("settings as the script writes them");
    let file = SafeTensors::deserialize(NEAR_ONE).expect("the fixture is whole");
    let losses = file.tensor("losses").expect("the fixture has losses");
    let losses: Vec<f64> = losses.data().as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect();
    let run_settings = RunSettings { max_grad_norm: 0.0, ..fixture.run_settings() };
    assert_eq!(betas.len(), 5);
    for ([beta1, beta2], losses) in betas.into_iter().zip(losses.chunks_exact(10)) {
        let plan = Arc::new(fixture.plan(Optimizer::AdamW { beta1, beta2, epsilon: 1e-8 }));
        let start = fixture.start(&plan);
        let cpu = Cpu::<f32>::new(plan.clone(), NANO.tensors.clone(), Some(1));
        let gpu = wait(Gpu::new(gpu::native(), plan, NANO.tensors.clone())).expect("nano runs on every GPU");
        for (name, mut device) in [("CPU", Box::new(cpu) as Box<dyn Device>), ("GPU", Box::new(gpu))] {
            device.load(0, &start, &[], run_settings);
            let mut worst = 0.0_f64;
            for (step, expected) in losses.iter().enumerate() {
                device.step(&[fixture.rows(step).input()], &[learning_rate]);
                let reports = wait(device.reports()).expect("the device does not fail");
                let loss = reports[0][0].as_ref().expect("the run does not diverge").loss;
                let error = (loss - expected).abs() / expected;
                assert!(error <= 2e-5, "{name}, {beta1}, {beta2}, step {step}: {loss}, but PyTorch says {expected}");
                worst = worst.max(error);
            }
            println!("{name}, {beta1}, {beta2}: worst relative difference {worst:.1e}");
        }
    }
}
