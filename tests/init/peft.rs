//! Starts beside PEFT's own, over the same base and the same data: see tests/fixtures/make_peft_starts.py.

use std::sync::{Arc, LazyLock};

use loralab_core::{
    device::RunSettings,
    graph::{
        memory::{Quantiser, Site},
        plan::{Optimizer, Plan, Shape},
        tape::{Purpose, Tape},
    },
    lab::train::{Initial, Run},
    lora::init::{Layer, find},
    models::{Adapters, Training, llama::MODULES},
};
use loralab_data::Dataset;
use safetensors::SafeTensors;

use super::{
    data::{cpu, on},
    weights::Matrix,
};
use crate::training::NANO;

/// As the script has them.
const RANK: usize = 4;
const SCALE: f64 = 3.0;
const TOKENS: usize = 64;
const FEW: [&str; 2] = ["q_proj", "down_proj"];

static FIXTURE: LazyLock<SafeTensors<'static>> = LazyLock::new(|| {
    SafeTensors::deserialize(include_bytes!("../fixtures/peft_starts.safetensors")).expect("a whole fixture")
});

fn theirs(name: &str) -> Matrix {
    let view = FIXTURE.tensor(name).expect("the fixture has it");
    let values: Vec<f32> = view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let columns = view.shape()[1];
    Matrix::new(view.shape()[0], columns, |i, j| f64::from(values[i * columns + j]))
}

/// A module as ours begins it.
struct Ours {
    name: String,
    rank: usize,
    a: Matrix,
    b: Matrix,
}

fn ours(scheme: &str, modules: &[&str]) -> Vec<Ours> {
    let scheme = find(scheme).expect("listed");
    let adapters = Adapters::new(RANK, modules.iter().map(ToString::to_string).collect());
    let wide = Adapters { rank: RANK * scheme.rule.spread(), ..adapters.clone() };
    // One window of text is all there is, so every batch holds the same.
    let shape = Shape { runs: 1, sequences: 1, tokens: TOKENS };
    let mut tape = Tape::new(shape, scheme.frozen_pair);
    NANO.model.record(&mut tape, Training::Adapters(&NANO, &wide));
    let plan: Plan = tape.compile(Purpose::Train(Optimizer::SignSgd));
    let settings = RunSettings { scale: SCALE, learning_rate_ratio: 1.0, weight_decay: 0.0, max_grad_norm: 0.0 };
    let run = Run { scheme, chosen: Default::default(), seed: 0, learning_rate: 1e-3, settings };
    let bytes = FIXTURE.tensor("text").expect("the fixture has it").data();
    let text = Dataset::Text(bytes.iter().map(|&byte| byte.into()).collect());
    let initial: Arc<Initial> = on(&text, shape, &NANO, &adapters, &run, &plan, &cpu).expect("a start");
    let of = |(site, rank): (&Site, &usize)| {
        let [a, b] = [0, 1].map(|factor| {
            let [rows, columns] = site.shapes()[factor];
            let values = &initial.trained()[site.factors()[factor].range()];
            Matrix::new(rows, columns, |i, j| f64::from(values[i * columns + j]))
        });
        Ours { name: site.module.clone(), rank: *rank, a, b }
    };
    plan.sites.iter().zip(&initial.ranks).map(of).collect()
}

/// Each module of ours with PEFT's A and B.
fn beside(scheme: &str) -> Vec<(Ours, Matrix, Matrix)> {
    let ours = ours(scheme, &FEW);
    assert_eq!(ours.len(), 4);
    let pair = |ours: Ours| {
        let [a, b] = ["A", "B"].map(|factor| theirs(&format!("{scheme}.{}.lora_{factor}", ours.name)));
        (ours, a, b)
    };
    ours.into_iter().map(pair).collect()
}

/// Products and projectors agree; factors are unique up to signs.
#[test]
fn starts_from_weights_and_gradients_are_pefts() {
    for (scheme, allowed) in [("pissa", 1e-5), ("olora", 1e-5), ("lora-ga-peft", 1e-4)] {
        for (Ours { name, a, b, .. }, their_a, their_b) in beside(scheme) {
            let reads = |a: &Matrix| a.t().times(a);
            let writes = |b: &Matrix| b.times(&b.t());
            let (own, their) = (reads(&a), reads(&their_a));
            assert!(
                own.distance(&their) < allowed * their.norm(),
                "{scheme} {name}: {}",
                own.distance(&their) / their.norm()
            );
            let (own, their) = (writes(&b), writes(&their_b));
            assert!(
                own.distance(&their) < allowed * their.norm(),
                "{scheme} {name}: {}",
                own.distance(&their) / their.norm()
            );
            // LoRA-GA's product depends on the signs of singular vectors, which it pairs with others.
            if scheme != "lora-ga-peft" {
                let (own, their) = (b.times(&a), their_b.times(&their_a));
                assert!(own.distance(&their) < allowed * their.norm(), "{scheme} {name}");
            }
        }
    }
}

/// The last singular vectors are the least certain ones.
#[test]
fn mica_is_pefts() {
    for (Ours { name, a, b, .. }, their_a, their_b) in beside("mica") {
        assert!(a.norm() == 0.0 && their_a.norm() == 0.0);
        let (own, their) = (b.times(&b.t()), their_b.times(&their_b.t()));
        assert!(own.distance(&their) < 1e-4, "{name}: {}", own.distance(&their));
    }
}

/// The weight that is left is the same number for number, and so is what makes up for it, as far as single precision can tell.
#[test]
fn loftq_is_pefts() {
    for (scheme, quantiser) in [("loftq-nf4", Quantiser::Nf4), ("loftq-int8", Quantiser::Int8)] {
        for (Ours { name, a, b, .. }, their_a, their_b) in beside(scheme) {
            let kept = theirs(&format!("{scheme}.{name}.weight"));
            let weight =
                NANO.tensors.iter().find(|tensor| tensor.name == format!("{name}.weight")).expect("it is there");
            let weight = weight.data.to_f32();
            let own = quantiser.apply(&weight, kept.columns);
            // Half way between two levels of NF4 either is the nearest.
            let mut halves = 0;
            for ((index, value), before) in own.iter().enumerate().zip(weight.iter()) {
                let their = kept.get(index / kept.columns, index % kept.columns);
                let [lost, their_lost] = [f64::from(*value), their].map(|kept| (f64::from(*before) - kept).abs());
                assert!(
                    (lost - their_lost).abs() < 1e-6,
                    "{scheme} {name}, {index}: {before} became {value} and {their}"
                );
                halves += usize::from((f64::from(*value) - their).abs() > 1e-6);
            }
            assert!(halves <= usize::from(quantiser == Quantiser::Nf4), "{scheme} {name}: {halves}");
            // A value half way between two levels moves the error by a level, and its triplets with it.
            if halves == 1 {
                continue;
            }
            let (own, their) = (b.times(&a), their_b.times(&their_a));
            assert!(own.distance(&their) < 1e-4 * their.norm(), "{scheme} {name}: {}", own.distance(&their));
            for (own, their) in
                [(a.t().times(&a), their_a.t().times(&their_a)), (b.times(&b.t()), their_b.times(&their_b.t()))]
            {
                assert!(own.distance(&their) < 1e-4 * their.norm(), "{scheme} {name}");
            }
        }
    }
}

/// Products agree. The factors are ours times a number: PEFT divides inputs by their largest entry, we by their power. PEFT works in single precision, in
/// which the last triplets are off by the rounding of the first.
#[test]
fn corda_is_pefts_but_for_how_the_factors_share_the_product() {
    let size = |scheme: &str, name: &str| theirs(&format!("{scheme}.{name}.lora_B")).norm().powi(2);
    for scheme in ["corda-ipm", "corda-kpm"] {
        for (Ours { name, a, b, .. }, their_a, their_b) in beside(scheme) {
            let (own, their) = (b.times(&a), their_b.times(&their_a));
            let rounding = size("corda-ipm", &name) / size(scheme, &name) * f64::from(f32::EPSILON);
            let apart = own.distance(&their) / their.norm();
            assert!(apart < 1e-4 + 4.0 * rounding, "{scheme} {name}: {apart}, rounding {rounding}");
            assert!((a.norm() / their_a.norm() - 1.0).abs() > 0.1, "{scheme} {name} shares as PEFT does");
        }
    }
}

/// The same ranks, but for which of the modules that read one input gets the odd one, and the same directions.
#[test]
fn eva_is_pefts() {
    let ours = ours("eva", &MODULES);
    let theirs: Vec<Matrix> = ours.iter().map(|ours| theirs(&format!("eva.{}.lora_A", ours.name))).collect();
    let of = |layer: usize, modules: [&str; 3]| -> [Vec<usize>; 2] {
        let chosen =
            |name: &str| name.contains(&format!("layers.{layer}.")) && modules.iter().any(|end| name.ends_with(end));
        let mut own: Vec<usize> = ours.iter().filter(|ours| chosen(&ours.name)).map(|ours| ours.rank).collect();
        let pairs = ours.iter().zip(&theirs).filter(|(ours, _)| chosen(&ours.name));
        let mut their: Vec<usize> = pairs.map(|(_, theirs)| theirs.rows).collect();
        own.sort_unstable();
        their.sort_unstable();
        [own, their]
    };
    for layer in 0..2 {
        for modules in
            [["q_proj", "k_proj", "v_proj"], ["o_proj"; 3], ["gate_proj", "up_proj", "up_proj"], ["down_proj"; 3]]
        {
            let [own, their] = of(layer, modules);
            assert_eq!(own, their, "{modules:?} of layer {layer}");
        }
    }
    for (Ours { name, rank, a, .. }, theirs) in ours.iter().zip(&theirs) {
        for k in 0..(*rank).min(theirs.rows) {
            let row = |m: &Matrix| Matrix::new(1, m.columns, |_, j| m.get(k, j));
            let cosine = row(a).times(&row(theirs).t()).get(0, 0).abs();
            assert!(cosine > 0.999, "{name}, direction {k}: {cosine}");
        }
    }
}

/// Not only the shape of what is drawn: its scale. PEFT's fixture is one draw of 65 to 131 thousand numbers.
#[test]
fn draws_are_as_wide_as_pefts() {
    let bytes = include_bytes!("../fixtures/peft_starts.safetensors");
    let (_, metadata) = SafeTensors::read_metadata(bytes).expect("a whole fixture");
    let settings = metadata.metadata().as_ref().and_then(|entries| entries.get("settings")).expect("settings");
    let settings: serde_json::Value = serde_json::from_str(settings).expect("JSON");
    let layer = Layer { name: "0", inputs: 2048, outputs: 1024, rank: 64, scale: 1.0, chosen: &[] };
    for scheme in ["peft-default", "peft-gaussian", "peft-false"] {
        let start = find(scheme).expect("listed").start(&layer, || None, 0).expect("it is drawn");
        for (index, values) in [start.a, start.b].into_iter().enumerate() {
            let variance = values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / values.len() as f64;
            let theirs = settings["variances"][scheme][index].as_f64().expect("a number");
            assert!((variance - theirs).abs() <= 0.02 * theirs, "{scheme}: {variance} and {theirs}");
        }
    }
}
