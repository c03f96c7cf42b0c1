//! Starts that others train: `tests/fixtures/make_peft_from_init.py` trained what `init` writes with PyTorch + PEFT.

use loralab_core::graph::memory::InputName;
use std::{fs, sync::Arc};

use loralab_core::{
    device::{Cpu, Inputs, RunSettings},
    graph::{
        plan::Shape,
        tape::{Purpose, Tape},
    },
    lora::peft::{Adapter, Module},
    models::{Adapters, Base, Training, llama::MODULES},
};
use safetensors::SafeTensors;

use super::{Outcome, Place, generate};
use crate::training::{ADAMW, NANO};

const FIXTURE: &[u8] = include_bytes!("../fixtures/peft_from_init.safetensors");
const BATCHES: &[u8] = include_bytes!("../fixtures/peft.safetensors");
/// As the script has them.
const RANK: usize = 2;
const LEARNING_RATE: f64 = 1e-3;
const WEIGHT_DECAY: f64 = 0.01;
const STEPS: usize = 30;

/// A start as `init` writes it.
struct Written {
    place: Place,
    said: Outcome,
    adapter: Adapter,
    /// The base beside it, if there is one.
    base: Option<Base>,
    card: String,
}

impl Written {
    fn new(scheme: &str, flags: &[&str]) -> Written {
        let place = Place::new();
        let command = ["init", scheme, "--base", "nano", "--rank", "2", "--output", "out"];
        let said = place.succeed(&[&command[..], flags].concat());
        let tensors = fs::read(place.path("out/adapter_model.safetensors")).expect("the tensors");
        let adapter = Adapter::from_peft(&place.read("out/adapter_config.json"), &tensors).expect("an adapter");
        let base = fs::read(place.path("out/base.safetensors")).ok();
        let base = base.map(|bytes| Base::from_safetensors(bytes).expect("a whole base"));
        let card = place.read("out/README.md");
        Written { place, said, adapter, base, card }
    }

    /// The adapter with the second half of every pair frozen, as the lines in its README.md make it.
    fn halved(&self) -> Adapter {
        let half = |module: &Module| {
            let rank = self.adapter.rank / 2;
            let (a, a_0) = module.a.split_at(rank * module.inputs);
            let columns = |from: usize, sign: f32| -> Vec<f32> {
                let rows = module.b.chunks_exact(2 * rank);
                rows.flat_map(|row| row[from..from + rank].iter().map(move |x| sign * x)).collect()
            };
            Module {
                a: a.to_vec(),
                b: columns(0, 1.0),
                frozen: Some((a_0.to_vec(), columns(rank, -1.0))),
                ..module.clone()
            }
        };
        Adapter {
            rank: self.adapter.rank / 2,
            alpha: self.adapter.alpha / 2.0,
            modules: self.adapter.modules.iter().map(half).collect(),
            ..self.adapter.clone()
        }
    }
}

/// The losses of an adapter that is trained as the script does it.
fn losses(base: &Base, adapter: &Adapter, settings: RunSettings) -> Vec<f64> {
    let file = SafeTensors::deserialize(BATCHES).expect("the fixture is whole");
    let [_, sequences, tokens]: [usize; 3] =
        file.tensor("tokens").expect("it has tokens").shape().try_into().expect("three axes");
    let frozen_pairs = adapter.modules.iter().any(|module| module.frozen.is_some());
    let mut tape = Tape::new(Shape { runs: 1, sequences, tokens }, frozen_pairs);
    let adapters = Adapters::new(adapter.rank, MODULES.map(str::to_owned).into());
    base.model.record(&mut tape, Training::Adapters(base, &adapters));
    let plan = Arc::new(tape.compile(Purpose::Train(ADAMW)));
    let (mut trained, mut frozen) = (vec![], vec![]);
    for site in &plan.sites {
        let module =
            adapter.modules.iter().find(|module| module.name == site.module).expect("every layer has its adapter");
        trained.extend(module.a.iter().chain(&module.b));
        frozen.extend(module.frozen.iter().flat_map(|(a, b)| a.iter().chain(b)));
    }
    let mut device = Cpu::<f32>::new(plan, base.tensors.clone(), Some(1));
    device.load(0, &trained, &frozen, settings);
    let rows = sequences * tokens;
    let step = |step: usize| {
        let part = |name| file.tensor(name).expect("the fixture has it").data()[step * rows..(step + 1) * rows].iter();
        let counted = part("mask").filter(|mask| **mask == 1).count();
        let [tokens, targets]: [Vec<u32>; 2] =
            ["tokens", "targets"].map(|name| part(name).map(|token| (*token).into()).collect());
        let weights: Vec<f32> = part("mask").map(|mask| f32::from(*mask) / counted as f32).collect();
        let input = Inputs::new()
            .with(InputName::Tokens, &tokens)
            .with(InputName::Targets, &targets)
            .with(InputName::Weights, &weights);
        device.step(&[input], &[LEARNING_RATE]).remove(0).expect("the run does not diverge").loss
    };
    (0..STEPS).map(step).collect()
}

fn settings(scheme: &str, adapter: &Adapter) -> RunSettings {
    let a_only = scheme == "mica";
    RunSettings {
        scale: adapter.scale(),
        learning_rate_ratio: if a_only { 0.0 } else { 1.0 },
        weight_decay: WEIGHT_DECAY,
        max_grad_norm: if a_only { 0.0 } else { 1.0 },
    }
}

fn floats(name: &str) -> Vec<f32> {
    let file = SafeTensors::deserialize(FIXTURE).expect("the fixture is whole");
    let view = file.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// The largest relative difference between losses and those that PEFT had.
fn apart(name: &str, losses: &[f64]) -> f64 {
    let file = SafeTensors::deserialize(FIXTURE).expect("the fixture is whole");
    let theirs = file.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    let theirs: Vec<f64> = theirs.data().as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    assert_eq!(theirs.len(), losses.len());
    losses.iter().zip(&theirs).map(|(ours, theirs)| (ours - theirs).abs() / theirs).fold(0.0, f64::max)
}

/// Asserts that `init` writes the start that PEFT trained from, in the fixture.
fn assert_start(scheme: &str, adapter: &Adapter) {
    for module in &adapter.modules {
        for (factor, ours) in [("A", &module.a), ("B", &module.b)] {
            let theirs = floats(&format!("{scheme}.base_model.model.{}.lora_{factor}.weight", module.name));
            assert_eq!(ours.len(), theirs.len());
            let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            let distance = norm(&mut ours.iter().zip(&theirs).map(|(ours, theirs)| ours - theirs));
            let size = norm(&mut theirs.iter().copied());
            assert!(distance <= 1e-5 * size, "{scheme}, {factor} of {}: {distance} of {size}", module.name);
        }
    }
}

#[test]
fn peft_trains_a_start_whose_second_half_is_frozen_as_it_is_trained_here() {
    for scheme in ["pissa", "olora", "lora-ga", "init-ab-subtract"] {
        let written = Written::new(scheme, &[]);
        let halved = written.halved();
        assert_start(scheme, &halved);
        for module in &halved.modules {
            assert_eq!(module.frozen, Some((module.a.clone(), module.b.clone())), "{scheme}: {}", module.name);
            let rows = format!("`base_model.model.{}.lora_A.weight`: rows 2 to 3 of 4", module.name);
            let columns = format!("`base_model.model.{}.lora_B.weight`: columns 2 to 3 of 4", module.name);
            assert!(written.card.contains(&rows) && written.card.contains(&columns), "{}", written.card);
        }
        let found = apart(&format!("losses.{scheme}"), &losses(&NANO, &halved, settings(scheme, &halved)));
        println!("{scheme}: losses are {found:.1e} from PEFT's");
        assert!(found <= 1e-4, "{scheme}: losses are {found} from PEFT's");
        // Trained as PEFT does by itself, it is another method.
        let whole = &written.adapter;
        let found = apart(&format!("losses.{scheme}"), &losses(&NANO, whole, settings(scheme, whole)));
        assert!(found > 1e-2, "{scheme}: trained whole it is {found} from what is meant");
        for said in [&written.said.stdout, &written.card] {
            assert!(said.contains("register_optimizer_step_post_hook") && said.contains("--residual-base"), "{said}");
        }
    }
}

#[test]
fn peft_trains_a_start_on_its_residual_base_as_it_is_trained_here() {
    for scheme in ["pissa", "olora", "lora-ga", "init-ab-subtract"] {
        let written = Written::new(scheme, &["--residual-base"]);
        let (adapter, base) = (&written.adapter, written.base.as_ref().expect("a base beside it"));
        assert_eq!((adapter.rank, adapter.scale()), (RANK, 8.0));
        assert_start(scheme, adapter);
        let found = apart(&format!("losses.{scheme}.residual"), &losses(base, adapter, settings(scheme, adapter)));
        println!("{scheme} on its residual base: losses are {found:.1e} from PEFT's");
        assert!(found <= 1e-4, "{scheme}: losses are {found} from PEFT's");
        // The other form trains the same.
        let halved = Written::new(scheme, &[]).halved();
        let found = apart(&format!("losses.{scheme}.residual"), &losses(&NANO, &halved, settings(scheme, &halved)));
        assert!(found <= 1e-4, "{scheme}: the two forms are {found} apart");
        assert!(written.card.contains("`base.safetensors`") && !written.card.contains("python"), "{}", written.card);
        let said = &written.said.stdout;
        assert!(said.contains("the base beside it, base.safetensors, and trains it as it is"), "{said}");
    }
}

#[test]
fn peft_trains_mica_as_it_is_trained_here() {
    let Written { place, adapter, card, .. } = Written::new("mica", &[]);
    assert_start("mica", &adapter);
    let found = apart("losses.mica", &losses(&NANO, &adapter, settings("mica", &adapter)));
    println!("mica: losses are {found:.1e} from PEFT's");
    assert!(found <= 1e-4, "losses are {found} from PEFT's");
    let both = RunSettings { learning_rate_ratio: 1.0, ..settings("mica", &adapter) };
    assert!(apart("losses.mica", &losses(&NANO, &adapter, both)) > 1e-3);
    assert_eq!(place.json("out/adapter_config.json")["init_lora_weights"], "mica");
    assert!(card.contains("requires_grad_(False)"), "{card}");
}

/// W' + s B A is W but for the rounding of W' to 32 bits, whose size is told, whatever W is stored in.
#[test]
fn a_residual_base_and_its_adapter_are_the_base() {
    for scheme in ["pissa", "init-ab-subtract", "activation-shift"] {
        let Written { place, adapter, base, said, .. } = Written::new(scheme, &["--residual-base"]);
        let base = base.expect("a base beside it");
        for tensor in base.tensors.iter() {
            let whole = NANO.tensors.iter().find(|whole| whole.name == tensor.name).expect("of the same model");
            let module = adapter.modules.iter().find(|module| format!("{}.weight", module.name) == tensor.name);
            let Some(module) = module else {
                assert_eq!(tensor, whole);
                continue;
            };
            let (left, whole) = (tensor.data.to_f32(), whole.data.to_f32());
            for (place, (left, whole)) in left.iter().zip(whole.iter()).enumerate() {
                let (row, column) = (place / module.inputs, place % module.inputs);
                let b = &module.b[row * adapter.rank..][..adapter.rank];
                let terms =
                    b.iter().enumerate().map(|(k, b)| f64::from(*b) * f64::from(module.a[k * module.inputs + column]));
                let (left, whole, start) = (f64::from(*left), f64::from(*whole), adapter.scale() * terms.sum::<f64>());
                let rounding = f64::from(f32::EPSILON) / 2.0 * left.abs() + 1e-14 * start.abs();
                assert!((left + start - whole).abs() <= rounding, "{scheme} {}", tensor.name);
            }
        }
        let moved = said.stdout.split("moved by up to ").nth(1).and_then(|rest| rest.split(' ').next());
        let moved: f64 = moved.and_then(|moved| moved.parse().ok()).unwrap_or_else(|| panic!("{}", said.stdout));
        assert!(moved > 0.0 && moved < 1e-6, "{}", said.stdout);
        // The base is taken from beside the adapter; the whole one is refused, and so is none.
        let write = ["generate", "--adapter", "out", "--prompt", "Emma took", "--count", "40"];
        let plain = ["generate", "--base", "nano", "--prompt", "Emma took", "--count", "40"];
        assert_eq!(place.succeed(&write).stdout, place.succeed(&plain).stdout, "{scheme}");
        place.refuse(
            &[&write[..], &["--base", "nano"]].concat(),
            2,
            &["`nano` less the adapter's start", "base.safetensors"],
        );
        fs::rename(place.path("out/base.safetensors"), place.path("moved.safetensors")).expect("a file");
        place.refuse(&write, 2, &["`nano` less the adapter's start", "--base"]);
        assert_eq!(
            place.succeed(&[&write[..], &["--base", "moved.safetensors"]].concat()).stdout,
            place.succeed(&plain).stdout
        );
    }
    let place = Place::new();
    for scheme in ["init-a", "mica", "loftq-nf4"] {
        place.refuse(&["init", scheme, "--residual-base", "--output", "out"], 2, &["--residual-base", scheme]);
    }
}

/// The figures of step 0 that a command prints come from the tensors, whatever the scheme declares.
#[test]
fn a_start_over_weights_of_zero_is_not_the_base() {
    let place = Place::new();
    let zero = |name: &str, row, column| if name.contains("o_proj") { 0.0 } else { generate::mixed(name, row, column) };
    place.write("zero.safetensors", generate::base(zero));
    let said = |scheme: &str| {
        let flags = ["init", scheme, "--base", "zero.safetensors", "--rank", "2", "--target-modules", "o_proj"];
        place.succeed(&[&flags[..], &["--output", scheme]].concat()).stdout
    };
    for scheme in ["peft-false", "init-ab"] {
        let said = said(scheme);
        assert!(!said.contains("exactly") && said.contains("step 0 is not the base model's"), "{said}");
        assert!(said.contains("inf"), "{said}");
    }
    for scheme in ["init-a", "init-b", "init-ab-subtract"] {
        assert!(said(scheme).contains("step 0 is the base model's exactly"), "{scheme}");
    }
}

/// Rows that repeat one another show no more directions than one of them.
#[test]
fn data_with_too_few_directions_start_nothing() {
    let place = Place::new();
    let line =
        |prompt: &str, completion: &str| format!("{{\"prompt\": \"{prompt}\", \"completion\": \"{completion}\"}}\n");
    place.write("one.jsonl", line("a", "\\n") + &line("b", "\\n"));
    place.write("few.jsonl", line("a", "x\\n") + &line("b", "y\\n") + &line("c", "z\\n"));
    let init = |scheme: &'static str, data: &'static str, rank: &'static str| {
        ["init", scheme, "--base", "nano", "--data", data, "--rank", rank, "--output", "out"]
    };
    for (scheme, of_one) in [
        (
            "sylvester-pca",
            "8 directions in the inputs of `model.layers.0.self_attn.q_proj`, but these data show only 1;",
        ),
        ("sylvester-labels", "only one such token"),
        ("eva", "all are alike"),
        ("activation-shift", "all are alike"),
    ] {
        place.refuse(&init(scheme, "one.jsonl", "8"), 2, &[scheme, of_one]);
        place.refuse(&init(scheme, "few.jsonl", "8"), 2, &[scheme, "looks for 8 directions", "show only"]);
    }
    place.succeed(&init("sylvester-pca", "one.jsonl", "1"));
}
