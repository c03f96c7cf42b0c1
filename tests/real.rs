//! Real pretrained models, as they are: the same numbers as transformers and PEFT, which `tests/fixtures/make_real.py` made.
//!
//! The models lie in `LORALAB_MODELS`, by default `~/.cache/loralab-models`. If one is missing, its tests say so and prove nothing.

use std::{path::PathBuf, sync::Arc};

use loralab_checkpoint::files;
use loralab_core::{
    device::{Cpu, Inputs, RunSettings},
    graph::{
        memory::InputName,
        plan::{Optimizer, Plan, Shape},
        tape::{Purpose, Tape},
    },
    models::{Adapters, Base, Training},
};
use safetensors::SafeTensors;
use serde::Deserialize;

const FILE: &[u8] = include_bytes!("fixtures/real.safetensors");

#[derive(Deserialize)]
struct Settings {
    rank: usize,
    alpha: f64,
    learning_rate: f64,
    weight_decay: f64,
    max_grad_norm: f64,
    /// Logits are kept of every so many rows and columns.
    rows: usize,
    columns: usize,
}

fn settings() -> Settings {
    let (_, metadata) = SafeTensors::read_metadata(FILE).expect("the fixture has a header");
    let settings = &metadata.metadata().as_ref().expect("the fixture has settings")["settings"];
    serde_json::from_str(settings).expect("settings as the script writes them")
}

fn bytes(name: &str) -> (Vec<usize>, &'static [u8]) {
    let file = SafeTensors::deserialize(FILE).expect("the fixture is whole");
    let tensor = file.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    (tensor.shape().to_vec(), tensor.data())
}

fn floats(name: &str) -> Vec<f32> {
    bytes(name).1.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

fn words(name: &str) -> Vec<u32> {
    bytes(name).1.as_chunks().0.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect()
}

/// A model's base, or none if its folder is missing.
pub fn base(name: &str) -> Option<Base> {
    let home = || std::env::home_dir().map(|home| home.join(".cache/loralab-models"));
    let folder = std::env::var("LORALAB_MODELS").map(PathBuf::from).ok().or_else(home)?.join(name);
    if !folder.join("config.json").exists() {
        println!("SKIPPED: there is no model {name} in {}; LORALAB_MODELS names another folder", folder.display());
        return None;
    }
    let checkpoint = files::open(&folder).unwrap_or_else(|error| panic!("{name}: {error}"));
    Some(Base::from_checkpoint(&checkpoint).unwrap_or_else(|error| panic!("{name}: {error}")))
}

/// The batches of the fixture, whole sequences each: tokens, their successors, weights of those that are no padding.
struct Batches {
    shape: Shape,
    tokens: Vec<Vec<u32>>,
    targets: Vec<Vec<u32>>,
    weights: Vec<Vec<f32>>,
}

impl Batches {
    fn of(model: &str) -> Batches {
        let (shape, _) = bytes(&format!("{model}.tokens"));
        let &[_, sequences, length] = &shape[..] else { panic!("tokens of batches of sequences") };
        let (tokens, (_, mask)) = (words(&format!("{model}.tokens")), bytes(&format!("{model}.mask")));
        let mut batches = Batches {
            shape: Shape { runs: 1, sequences, tokens: length },
            tokens: vec![],
            targets: vec![],
            weights: vec![],
        };
        let rows = sequences * length;
        for (tokens, mask) in tokens.chunks(rows).zip(mask.chunks(rows)) {
            let next = |row: usize| (!(row + 1).is_multiple_of(length)).then_some(row + 1);
            let counts: Vec<bool> = (0..rows).map(|row| next(row).is_some_and(|next| mask[next] == 1)).collect();
            let counted = counts.iter().filter(|&&counts| counts).count() as f32;
            batches.targets.push((0..rows).map(|row| next(row).map_or(0, |next| tokens[next])).collect());
            batches.weights.push(counts.iter().map(|&counts| if counts { counted.recip() } else { 0.0 }).collect());
            batches.tokens.push(tokens.to_vec());
        }
        batches
    }

    fn input(&self, index: usize) -> Inputs<'_> {
        Inputs::new()
            .with(InputName::Tokens, &self.tokens[index])
            .with(InputName::Targets, &self.targets[index])
            .with(InputName::Weights, &self.weights[index])
    }
}

fn plan(base: &Base, shape: Shape, rank: usize, purpose: Purpose) -> Arc<Plan> {
    let target_modules = base.model.linears().into_iter().map(|linear| linear.name).collect();
    let adapters = Adapters::new(rank, target_modules);
    let mut tape = Tape::new(shape, false);
    base.model.record(&mut tape, Training::Adapters(base, &adapters));
    Arc::new(tape.compile(purpose))
}

/// The script's start of a tensor: 24 bits of SplitMix64 for each element, in (−1/√I, 1/√I).
pub fn start(name: &str, [rows, columns]: [usize; 2]) -> Vec<f32> {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    for byte in name.bytes() {
        state = (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
    let scale = 1.0 / (columns as f32).sqrt();
    let element = |index: u64| {
        let x = state.wrapping_add((index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let x = x ^ (x >> 31);
        ((x >> 40) as f32 / (1 << 23) as f32 - 1.0) * scale
    };
    (0..(rows * columns) as u64).map(element).collect()
}

#[test]
fn smollms_logits_are_those_of_transformers_in_f64() {
    let (settings, Some(base)) = (settings(), base("smollm2-135m")) else { return };
    let batches = Batches::of("smollm");
    let plan = plan(&base, batches.shape, 1, Purpose::Predict);
    let mut device = Cpu::<f32>::new(plan.clone(), base.tensors.clone(), None);
    device.load(0, &vec![0.0; plan.trained_len()], &[], RunSettings::PLAIN);
    let found = device.predict(&[batches.input(0)]).remove(0);
    let vocabulary = base.model.vocabulary();
    let (expected, largest, (_, mask)) = (floats("smollm.logits"), words("smollm.largest"), bytes("smollm.mask"));
    let kept = vocabulary.div_ceil(settings.columns);
    let mut worst = 0.0_f32;
    for (row, logits) in found.chunks(vocabulary).enumerate().filter(|(row, _)| mask[*row] == 1) {
        let top = (0..vocabulary).fold(0, |top, token| if logits[token] > logits[top] { token } else { top });
        assert_eq!(top, largest[row] as usize, "the most probable token of row {row}");
        if row % settings.rows == 0 {
            let expected = &expected[row / settings.rows * kept..][..kept];
            for (e, f) in expected.iter().zip(logits.iter().step_by(settings.columns)) {
                worst = worst.max((e - f).abs());
                assert!((e - f).abs() <= 1e-4, "row {row}: logit {f}, but transformers says {e}");
            }
        }
    }
    println!("SmolLM2-135M: logits within {worst:.1e}");
}

#[test]
fn smollms_thirty_losses_are_pefts() {
    let (settings, Some(base)) = (settings(), base("smollm2-135m")) else { return };
    let batches = Batches::of("smollm");
    let adamw = Optimizer::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
    let plan = plan(&base, batches.shape, settings.rank, Purpose::Train(adamw));
    let of_parameter = |p: &loralab_core::graph::memory::Parameter| match p.name.contains("lora_A") {
        true => start(&p.name, p.shape),
        false => vec![0.0; p.span.len],
    };
    let trained: Vec<f32> = plan.parameters.iter().flat_map(of_parameter).collect();
    let mut device = Cpu::<f32>::new(plan, base.tensors.clone(), None);
    let run = RunSettings {
        scale: settings.alpha / settings.rank as f64,
        learning_rate_ratio: 1.0,
        weight_decay: settings.weight_decay,
        max_grad_norm: settings.max_grad_norm,
    };
    device.load(0, &trained, &[], run);
    let losses: Vec<f64> = bytes("smollm.losses").1.as_chunks().0.iter().map(|&x| f64::from_le_bytes(x)).collect();
    assert_eq!(losses.len(), 30);
    let mut worst = 0.0_f64;
    for (step, expected) in losses.iter().enumerate() {
        let report = device.step(&[batches.input(step)], &[settings.learning_rate]).remove(0);
        let loss = report.expect("the run does not diverge").loss;
        let error = (loss - expected).abs() / expected;
        assert!(error <= 1e-3, "step {}: loss {loss}, but PEFT says {expected}", step + 1);
        worst = worst.max(error);
    }
    println!("SmolLM2-135M: {} losses, {:.3} to {:.3}, within {worst:.1e}", losses.len(), losses[0], losses[29]);
}
