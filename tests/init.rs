//! What a scheme's definition says of step 0, through the whole model.

use std::sync::Arc;

use half::{bf16, f16};
use loralab_core::{
    device::{Cpu, RunSettings},
    init::{ALL, Scheme},
    memory::{Data, Tensor},
    model::{Adapters, Base, MODULES, Training, decoder},
    plan::Shape,
    tape::{Purpose, Tape},
    train::{Run, start},
};

use crate::small::{base, config, token_rows};

const SHAPE: Shape = Shape { runs: 1, sequences: 3, tokens: 5 };

/// A power of two, a rank-stabilised scale, and one that no float holds exactly.
const SCALES: [f64; 3] = [2.0, 5.656_854_249_492_38, 0.1];

/// The logits of a base whose `modules` have adapters that start by `scheme`.
fn logits(base: &Base, modules: &[&str], scheme: &'static Scheme, scale: f64) -> Vec<f32> {
    let adapters = Adapters { rank: 3, target_modules: modules.iter().map(ToString::to_string).collect() };
    let mut tape = Tape::new(SHAPE, scheme.has_frozen_pair() && !modules.is_empty());
    decoder(&mut tape, &base.config, Training::Adapters(base, &adapters));
    let plan = Arc::new(tape.compile(Purpose::Predict));
    let settings = RunSettings { scale, learning_rate_ratio: 1.0, weight_decay: 0.0, max_grad_norm: 0.0 };
    let (trained, frozen_pairs) = start(&plan, &Run { scheme, seed: 1, learning_rate: 0.0, settings });
    let mut device = Cpu::<f32>::new(plan, base.tensors.clone(), Some(1));
    device.load(0, &trained, &frozen_pairs, settings);
    device.predict(&[token_rows(SHAPE, base.config.vocabulary).input()]).remove(0)
}

/// The same base, stored in each precision.
fn bases() -> [(&'static str, Base); 3] {
    let exact = base(&config(2, 1, true));
    let stored = |convert: fn(Vec<f32>) -> Data| {
        let tensor = |tensor: &Tensor| Tensor { data: convert(tensor.data.to_f32()), ..tensor.clone() };
        Base { tensors: exact.tensors.iter().map(tensor).collect(), config: exact.config.clone() }
    };
    [
        ("f32", stored(Data::F32)),
        ("f16", stored(|data| Data::F16(data.into_iter().map(f16::from_f32).collect()))),
        ("bf16", stored(|data| Data::Bf16(data.into_iter().map(bf16::from_f32).collect()))),
    ]
}

#[test]
fn every_scheme_but_init_ab_begins_exactly_at_the_base() {
    for (precision, base) in bases() {
        let bare = logits(&base, &[], ALL[0], 1.0);
        assert!(bare.iter().all(|logit| logit.is_finite()));
        for &scheme in ALL {
            for scale in SCALES {
                let begun = logits(&base, &MODULES, scheme, scale);
                // Init[AB] is the base plus a little noise by definition.
                let identical = scheme.name != "init-ab";
                let what = format!("{} at scale {scale} over {precision}", scheme.name);
                assert_eq!(begun == bare, identical, "{what}: exactly the base at step 0?");
            }
        }
    }
}

#[test]
fn stored_precision_matters_to_the_base_itself() {
    let [f32, f16, bf16] = bases().map(|(_, base)| logits(&base, &[], ALL[0], 1.0));
    assert!(f32 != f16 && f16 != bf16 && f32 != bf16);
}
