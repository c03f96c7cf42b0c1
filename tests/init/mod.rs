//! The definitions of the schemes: their claims about step 0, through the whole model, and about the weights that a start is made from.

// Starts that are made from data, against what another way of asking a model gives.
pub mod data;
// Principal components that are found batch by batch, against those of all rows.
mod components;
// Starts beside PEFT's own.
mod peft;
// Triplets of a weight that a device multiplies, against those of exact products.
mod triplets;
// Starts that are made from a weight, against decompositions of their own.
mod weights;

use std::{env, fs, sync::Arc};

use half::{bf16, f16};
use loralab_core::{
    device::{Cpu, RunSettings},
    graph::{
        memory::{Data, Tensor},
        plan::{Optimizer, Shape},
        tape::{Purpose, Tape},
    },
    lab::train::Run,
    lora::init::{ALL, Begins, Choice, Chosen, Domain, Scheme, Trains, find},
    models::{Adapters, Base, Training, llama::MODULES},
};

use crate::small::{base, config, token_rows};
use loralab_experiment::BEGIN_ELSEWHERE;
use serde_json::json;

const SHAPE: Shape = Shape { runs: 1, sequences: 3, tokens: 5 };

/// A power of two, a rank-stabilised scale, and one that no float holds exactly.
const SCALES: [f64; 3] = [2.0, 5.656_854_249_492_38, 0.1];

/// The logits of a base whose `modules` have adapters that start by `scheme`.
fn logits(base: &Base, modules: &[&str], scheme: &'static Scheme, rank: usize, scale: f64) -> Vec<f32> {
    let adapters = Adapters::new(rank, modules.iter().map(ToString::to_string).collect());
    let mut tape = Tape::new(SHAPE, scheme.frozen_pair && !modules.is_empty());
    let wide = Adapters { rank: rank * scheme.rule.spread(), ..adapters.clone() };
    base.model.record(&mut tape, Training::Adapters(base, &wide));
    let plan = Arc::new(tape.compile(Purpose::Predict));
    let settings = RunSettings { scale, learning_rate_ratio: 1.0, weight_decay: 0.0, max_grad_norm: 0.0 };
    let run = Run { scheme, chosen: Default::default(), seed: 1, learning_rate: 1e-3, settings };
    let initial = data::start(base, &adapters, &run, &plan, &data::cpu).expect("a start");
    let (trained, frozen_pairs) = initial.numbers();
    let mut device = Cpu::<f32>::new(plan, base.tensors.clone(), Some(1));
    device.load(0, &trained, &frozen_pairs, settings);
    device.predict(&[token_rows(SHAPE, base.model.vocabulary()).input()]).remove(0)
}

/// The same base, stored in each precision.
fn bases() -> [(&'static str, Base); 3] {
    let exact = base(&config(2, 1, true));
    let stored = |convert: fn(Vec<f32>) -> Data| {
        let tensor = |tensor: &Tensor| Tensor { data: convert(tensor.data.to_f32().into_owned()), ..tensor.clone() };
        Base { tensors: exact.tensors.iter().map(tensor).collect(), model: exact.model.clone() }
    };
    [
        ("f32", stored(|data| Data::F32(data.into()))),
        ("f16", stored(|data| Data::F16(data.into_iter().map(f16::from_f32).collect()))),
        ("bf16", stored(|data| Data::Bf16(data.into_iter().map(bf16::from_f32).collect()))),
    ]
}

/// At rank 6 the narrowest modules, 4 wide, have fewer directions than the rank, and the rest is padding.
#[test]
fn every_scheme_has_a_look_of_its_own_in_figures() {
    let mut listed = loralab_figure::SCHEMES;
    let mut known: Vec<_> = ALL.iter().map(|scheme| scheme.name).collect();
    listed.sort_unstable();
    known.sort_unstable();
    assert_eq!(listed[..], known[..], "crates/figure/src/palette.rs lists the schemes in the order of their styles");
}

#[test]
fn every_scheme_begins_where_it_says() {
    for (precision, base) in bases() {
        let bare = logits(&base, &[], ALL[0], 4, 1.0);
        assert!(bare.iter().all(|logit| logit.is_finite()));
        let largest = bare.iter().fold(0.0_f32, |most, logit| most.max(logit.abs()));
        for &scheme in ALL {
            assert_eq!(scheme.begins == Begins::Elsewhere, BEGIN_ELSEWHERE.contains(&scheme.name), "{}", scheme.name);
            for (rank, scale) in [4, 6].into_iter().flat_map(|rank| SCALES.map(|scale| (rank, scale))) {
                let begun = logits(&base, &MODULES, scheme, rank, scale);
                let what = format!("{} of rank {rank} at scale {scale} over {precision}", scheme.name);
                let apart = begun.iter().zip(&bare).fold(0.0_f32, |most, (x, y)| most.max((x - y).abs())) / largest;
                match scheme.begins {
                    Begins::AtBase => assert!(begun == bare, "{what} is {apart:e} away from the base"),
                    Begins::NearBase => assert!(apart < 1e-5, "{what} is {apart:e} away"),
                    Begins::Elsewhere => assert!(apart > 1e-4, "{what} is only {apart:e} away"),
                }
            }
        }
    }
}

/// One step of every scheme: what is padding, and what a scheme does not train, keeps its bits.
#[test]
fn padding_stays_zero_and_a_fixed_b_stays_fixed() {
    let base = base(&config(1, 1, true));
    let adapters = Adapters::new(6, vec!["k_proj".to_owned()]);
    for name in ["pissa", "milora", "olora", "mica"] {
        let scheme = find(name).expect("listed");
        let mut tape = Tape::new(SHAPE, scheme.frozen_pair);
        base.model.record(&mut tape, Training::Adapters(&base, &adapters));
        let optimizer = Optimizer::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
        let plan = Arc::new(tape.compile(Purpose::Train(optimizer)));
        let learning_rate_ratio = if scheme.trains == Trains::AOnly { 0.0 } else { 1.0 };
        let settings = RunSettings { scale: 2.0, learning_rate_ratio, weight_decay: 0.1, max_grad_norm: 1.0 };
        let run = Run { scheme, chosen: Default::default(), seed: 1, learning_rate: 1e-2, settings };
        let (begun, frozen_pairs) = data::start(&base, &adapters, &run, &plan, &data::cpu).expect("a start").numbers();
        let mut device = Cpu::<f32>::new(plan.clone(), base.tensors.clone(), Some(1));
        device.load(0, &begun, &frozen_pairs, settings);
        let rows = token_rows(SHAPE, base.model.vocabulary());
        for _ in 0..3 {
            device.step(&[rows.input()], &[1e-2]);
        }
        let trained = device.trained(0);
        let [a, b] = [0, 1].map(|index| plan.parameters[index].span.range());
        // k_proj is 8 → 4, so rows 4 and 5 of A and columns 4 and 5 of B are padding.
        assert!(trained[a.clone()][4 * 8..].iter().all(|x| x.to_bits() == 0), "{name}");
        assert!(trained[b.clone()].chunks(6).all(|row| row[4..].iter().all(|x| x.to_bits() == 0)), "{name}");
        assert!(trained[a.clone()] != begun[a], "{name} trains A");
        assert_eq!(trained[b.clone()] == begun[b], scheme.trains == Trains::AOnly, "{name}");
    }
}

/// An option that is given its default changes no bit of the start, and another value changes it.
#[test]
fn options_are_taken_and_their_defaults_change_nothing() {
    let base = base(&config(2, 1, true));
    let adapters = Adapters::new(2, MODULES.iter().map(ToString::to_string).collect());
    for scheme in ALL {
        let begin = |chosen: &[(&'static str, f64)]| {
            let chosen: Chosen =
                scheme.chosen(chosen.iter().map(|(name, value)| (scheme.name, *name, *value))).expect("allowed");
            let wide = Adapters { rank: 2 * scheme.rule_with(&chosen).spread(), ..adapters.clone() };
            let mut tape = Tape::new(SHAPE, scheme.frozen_pair);
            base.model.record(&mut tape, Training::Adapters(&base, &wide));
            let plan = tape.compile(Purpose::Train(Optimizer::SignSgd));
            let settings = RunSettings { scale: 2.0, learning_rate_ratio: 1.0, weight_decay: 0.0, max_grad_norm: 0.0 };
            let run = Run { scheme, chosen, seed: 1, learning_rate: 1e-3, settings };
            data::start(&base, &adapters, &run, &plan, &data::cpu).expect("a start")
        };
        let options: Vec<Choice> = scheme.options.iter().map(|option| option.described()).collect();
        let defaults: Vec<_> = options.iter().map(|option| (option.name, option.default.number())).collect();
        let plain = begin(&[]);
        assert_eq!(plain, begin(&defaults), "{}", scheme.name);
        for option in options {
            let default = option.default.number();
            let other = match option.domain {
                Domain::Positive => 3.0 * default,
                // So low a cosine that the second batch settles it.
                Domain::Share if option.name == "tau" => 1e-6,
                Domain::Share => 10.0 * default,
                Domain::Whole(least, most) if f64::from(least) == default => f64::from(most.min(least + 4)),
                Domain::Whole(least, _) => f64::from(least),
            };
            // The code of the principal directions is its own solution, whatever λ is, and what comes before is the same whether it is counted or not.
            let same = scheme.name == "sylvester-pca" || option.name == "counted";
            let close =
                begin(&[(option.name, other)]).trained().iter().zip(plain.trained()).all(|(x, y)| (x - y).abs() < 1e-5);
            assert_eq!(
                close && begin(&[(option.name, other)]).trained().len() == plain.trained().len(),
                same,
                "{}.{}",
                scheme.name,
                option.name
            );
        }
    }
}

#[test]
fn stored_precision_matters_to_the_base_itself() {
    let [f32, f16, bf16] = bases().map(|(_, base)| logits(&base, &[], ALL[0], 4, 1.0));
    assert!(f32 != f16 && f16 != bf16 && f32 != bf16);
}

#[test]
fn the_page_offers_every_scheme() {
    const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/crates/page/src/schemes.json");
    let line =
        |scheme: &&Scheme| json!({ "name": scheme.name, "about": scheme.about, "source": scheme.source }).to_string();
    let list = format!("[\n{}\n]\n", ALL.iter().map(line).collect::<Vec<_>>().join(",\n"));
    if env::var_os("LORALAB_WRITE_SCHEMES").is_some() {
        fs::write(PATH, &list).expect("the list can be written");
    }
    assert_eq!(
        fs::read_to_string(PATH).expect("the page's list"),
        list,
        "the page's list is not the core's; `LORALAB_WRITE_SCHEMES=1 cargo test --test tests the_page_offers` writes it"
    );
}
