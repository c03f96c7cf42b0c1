//! Whole trainings of `nano` on the translation task, on the CPU device.

use std::sync::{Arc, LazyLock};

use loralab_core::{
    device::{Cpu, Device, RunSettings, wait},
    graph::{
        plan::{Optimizer, Plan, Shape},
        tape::{Purpose, Tape},
    },
    lab::train::{Cohort, Run, Validation},
    lora::init,
    models::{Adapters, Base, Training, llama::MODULES},
};
use loralab_data::{Batch, Dataset, Sampler, Split, Task, validation};
use loralab_tokenizer::Tokenizer;

// Gradients that are added up over several passes are those of the large batch.
mod accumulation;
// Sixteen runs together equal each alone, whatever the number of threads.
mod cohort;
mod curvature;
// The diagnostics of a run, against other ways to compute them.
mod diagnostics;
// A run that diverges is a result and harms no other.
mod divergence;
// Masks of dropout are the same alone and together, on both devices, and there are none outside of training.
mod dropout;
// Ten losses that were written down once.
mod golden;
// The GPU trains as the CPU does, the same alone and together.
mod gpu;
// Texts with labels: heads of cohorts, on both devices.
pub mod labels;
// One batch is learnt by heart.
mod learning;
// First steps that can be said in advance.
mod optimizer;
// Examples that share a sequence.
mod packing;
// PyTorch + PEFT, reproduced.
mod peft;
// f32 stays within the bound that the tracked scalar derives.
mod precision;
// Preconditioned steps: one of them is enough where the theory says so; the same bits alone and together.
mod preconditioner;
// A base in few bits.
mod quantised;
// A cohort goes on from its state as if it had never been interrupted.
mod state;
// The paper's network learns from its teacher.
mod teacher_student;
mod toy;
// 262144 tokens.
mod vocabulary;

/// AdamW with PyTorch's defaults.
pub const ADAMW: Optimizer = Optimizer::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

/// B and T of a run: two micro-batches on the CPU.
const SEQUENCES: usize = 4;
const TOKENS: usize = 64;

/// The settings of a plain finetuning at rank 8.
const SETTINGS: RunSettings =
    RunSettings { scale: 2.0, learning_rate_ratio: 1.0, weight_decay: 0.01, max_grad_norm: 1.0 };

pub static NANO: LazyLock<Base> = LazyLock::new(|| {
    let bytes = include_bytes!("../../crates/core/bases/nano.safetensors");
    Base::from_safetensors(&bytes[..]).expect("the shipped base is whole")
});

static TRANSLATION: LazyLock<Split> = LazyLock::new(|| {
    let examples = Dataset::Examples(Task::Translation.examples(&Tokenizer::Bytes, 0, 200).into());
    examples.split(0, 0.1, TOKENS).expect("200 examples are enough for both parts")
});

/// Everything that can be seen of a run.
#[derive(Clone, Debug, PartialEq)]
struct Trace {
    /// Loss of each step, up to the one where it diverged.
    losses: Vec<f64>,
    /// Step, from 1, and tensor.
    diverged: Option<(usize, String)>,
    trained: Vec<f32>,
    validation: Option<Validation>,
}

fn run(scheme: &str, seed: u64, learning_rate: f64) -> Run {
    let scheme = init::find(scheme).expect("a scheme of the tests");
    Run { scheme, chosen: Default::default(), seed, learning_rate, settings: SETTINGS }
}

/// Nano with adapters of rank 8 on every module.
fn plan(runs: usize, frozen_pairs: bool, purpose: Purpose) -> Plan {
    tape(runs, frozen_pairs).compile(purpose)
}

/// The same before it is compiled.
fn tape(runs: usize, frozen_pairs: bool) -> Tape {
    let adapters = Adapters::new(8, MODULES.map(str::to_owned).into());
    let mut tape = Tape::new(Shape { runs, sequences: SEQUENCES, tokens: TOKENS }, frozen_pairs);
    NANO.model.record(&mut tape, Training::Adapters(&NANO, &adapters));
    tape
}

/// The batches of a seed.
fn batches(seed: u64, count: u64) -> Vec<Batch> {
    let mut sampler = Sampler::new(&TRANSLATION.train, seed, SEQUENCES, TOKENS).expect("the data fit");
    (0..count).map(|step| sampler.batch(step)).collect()
}

/// Trains a cohort on the CPU at a constant rate, and validates it.
fn train(runs: &[Run], steps: usize, threads: usize) -> Vec<Trace> {
    train_on(runs, steps, |plan| Box::new(Cpu::<f32>::new(plan, NANO.tensors.clone(), Some(threads))))
}

/// Trains a cohort on a device at a constant rate, and validates it.
fn train_on(runs: &[Run], steps: usize, make_device: impl Fn(Arc<Plan>) -> Box<dyn Device>) -> Vec<Trace> {
    let plan = Arc::new(plan(runs.len(), runs.iter().any(|run| run.scheme.frozen_pair), Purpose::Train(ADAMW)));
    let device = make_device(plan.clone());
    let mut cohort = Cohort::new(runs.to_vec(), plan, &NANO.tensors, device, &TRANSLATION.train).expect("the data fit");
    let mut traces = vec![Trace { losses: vec![], diverged: None, trained: vec![], validation: None }; runs.len()];
    let mut told = 0;
    for step in 1..=steps {
        cohort.step(1.0);
        if !cohort.is_busy() && step < steps {
            continue;
        }
        for outcomes in wait(cohort.outcomes()).expect("the device does not fail") {
            told += 1;
            for (trace, outcome) in traces.iter_mut().zip(outcomes) {
                let Some(outcome) = outcome else { continue };
                trace.losses.push(outcome.report.loss);
                trace.diverged = outcome.report.diverged.map(|tensor| (told, tensor));
            }
        }
    }
    let held_out = validation(&TRANSLATION.validation, SEQUENCES, TOKENS, 6).expect("the data fit");
    let validations = wait(cohort.validate(&held_out)).expect("the device does not fail");
    let trained = wait(cohort.device().trained()).expect("the device does not fail");
    for (trace, (trained, validation)) in traces.iter_mut().zip(trained.into_iter().zip(validations)) {
        (trace.trained, trace.validation) = (trained, validation);
    }
    traces
}
