use std::sync::Arc;

use loralab_core::{
    device::{Cpu, Device, Gpu, Inputs, wait},
    graph::{
        memory::{Data, Tensor},
        plan::{Plan, Shape},
        tape::{Purpose, Tape},
    },
    lab::train::{Cohort, Run, Validation},
    models::{Adapters, Base, Model, Training},
};
use loralab_data::{Correlation, Dataset, Reader, Wanted, validation};
use loralab_linalg::Stream;
use loralab_tokenizer::Tokenizer;

use super::{ADAMW, run};
use crate::gpu;

const SEQUENCES: usize = 4;
const TOKENS: usize = 40;
const STEPS: usize = 3;

/// A RoBERTa of bytes with random weights and no head.
pub fn encoder(labels: usize) -> Base {
    let said = format!(
        r#"{{"model_type":"roberta","vocab_size":256,"hidden_size":16,"num_hidden_layers":2,"num_attention_heads":2,
            "intermediate_size":24,"max_position_embeddings":66,"initializer_range":0.3,"num_labels":{labels}}}"#
    );
    let model = Model::from_json(&said).expect("a config");
    let tensor = |(name, shape): (String, [usize; 2])| {
        let mut values = vec![0.0; shape[0] * shape[1]];
        Stream::new(1, &name).normal(0.3, &mut values);
        if name.ends_with("LayerNorm.weight") {
            values.iter_mut().for_each(|value| *value += 1.0);
        }
        Tensor { name, shape, data: Data::F32(values.into()) }
    };
    Base { tensors: model.tensors().into_iter().map(tensor).collect(), model }
}

/// Lines that say whether a number is even.
fn texts(wanted: Wanted) -> Dataset {
    let line = |n: usize| format!("{{\"sentence\": \"the number {n} and nothing else\", \"label\": {}}}\n", n % 2);
    let reader = Reader { labels: Some(wanted), ..Reader::new(&Tokenizer::Bytes, TOKENS) };
    let lines: String = (0..24).map(line).collect();
    reader.read(Some("even.jsonl"), lines.as_bytes()).expect("labels").dataset
}

/// Losses, trained tensors and validations of runs, which are trained together.
type Traces = (Vec<Vec<f64>>, Vec<Vec<f32>>, Vec<Option<Validation>>);

fn adapters() -> Adapters {
    Adapters::new(2, ["query", "value", "dense"].map(str::to_owned).into())
}

fn train(base: &Base, data: &Dataset, runs: &[Run], make: &dyn Fn(Arc<Plan>) -> Box<dyn Device>) -> Traces {
    let shape = Shape { runs: runs.len(), sequences: SEQUENCES, tokens: TOKENS };
    let mut tape = Tape::new(shape, runs.iter().any(|run| run.scheme.frozen_pair));
    base.model.record(&mut tape, Training::Adapters(base, &adapters()));
    let plan = Arc::new(tape.compile(Purpose::Train(ADAMW)));
    let device = make(plan.clone());
    let mut cohort = Cohort::new(runs.to_vec(), plan, &base.tensors, device, data).expect("the data fit");
    let mut losses = vec![vec![]; runs.len()];
    for _ in 0..STEPS {
        cohort.step(1.0);
        for outcome in wait(cohort.outcomes()).expect("the device does not fail") {
            for (losses, outcome) in losses.iter_mut().zip(outcome) {
                losses.push(outcome.expect("no run diverges").report.loss);
            }
        }
    }
    let held_out = validation(data, SEQUENCES, TOKENS, 10).expect("the data fit");
    let validations = wait(cohort.validate(&held_out)).expect("the device does not fail");
    (losses, wait(cohort.device().trained()).expect("the device does not fail"), validations)
}

/// The scores that a run's trained tensors give the held-out texts, by a plan that only predicts, and those that are wanted.
fn predictions(base: &Base, data: &Dataset, trained: &[f32]) -> Vec<(f32, f32)> {
    let mut tape = Tape::new(Shape { runs: 1, sequences: SEQUENCES, tokens: TOKENS }, false);
    base.model.record(&mut tape, Training::Adapters(base, &adapters()));
    let mut device = Cpu::<f32>::new(Arc::new(tape.compile(Purpose::Predict)), base.tensors.clone(), Some(2));
    device.load(0, trained, &[], run("init-a", 0, 1.0).settings);
    let batches = validation(data, SEQUENCES, TOKENS, 10).expect("the data fit");
    let pairs = batches.iter().flat_map(|batch| {
        let scores = device.predict(&[Inputs::from(batch)]).swap_remove(0);
        let first = (0..SEQUENCES).filter(|sequence| batch.examples[*sequence].is_some()).map(|at| at * TOKENS);
        first.map(|first| (scores[first], batch.expected[first])).collect::<Vec<_>>()
    });
    pairs.collect()
}

fn runs() -> Vec<Run> {
    ["init-a", "init-b"]
        .iter()
        .flat_map(|scheme| [(0, 3e-3), (1, 3e-3), (1, 1e-2)].map(|(seed, rate)| run(scheme, seed, rate)))
        .collect()
}

/// Trains all together and each alone.
fn check_cohort(what: &str, base: &Base, data: &Dataset, make: &dyn Fn(Arc<Plan>) -> Box<dyn Device>) -> Traces {
    let runs = runs();
    let together = train(base, data, &runs, make);
    for (index, run) in runs.iter().enumerate() {
        let (losses, trained, validations) = train(base, data, std::slice::from_ref(run), make);
        assert_eq!(losses[0], together.0[index], "{what}: run {index} depends on its cohort");
        assert!(trained[0] == together.1[index], "{what}: run {index} depends on its cohort");
        assert_eq!(validations[0], together.2[index], "{what}: run {index} depends on its cohort");
    }
    together
}

#[test]
fn each_run_has_a_head_of_its_own() {
    let (base, data) = (encoder(2), texts(Wanted::Class(vec![])));
    let cpu = |plan| -> Box<dyn Device> { Box::new(Cpu::<f32>::new(plan, base.tensors.clone(), Some(2))) };
    let (losses, trained, validations) = check_cohort("CPU", &base, &data, &cpu);
    // Runs of a seed begin alike, whatever their scheme and rate; other seeds have other heads.
    assert_eq!(losses[0][0], losses[3][0]);
    assert!(losses[1][0] == losses[2][0] && losses[0][0] != losses[1][0]);
    assert!(trained.iter().enumerate().all(|(index, one)| trained[..index].iter().all(|other| other != one)));
    for validation in validations {
        let validation = validation.expect("no run diverges");
        let table = validation.confusion.expect("two classes");
        assert_eq!(table.texts(), 10);
        let right = (table.counts[0][0] + table.counts[1][1]) as f64 / 10.0;
        assert_eq!(validation.accuracy, Some(right));
    }
    let native = gpu::native();
    let on_gpu = |plan| -> Box<dyn Device> {
        let device = wait(Gpu::new(native.clone(), plan, base.tensors.clone()));
        Box::new(device.expect("the GPU has memory for a small model"))
    };
    let (on_gpu, ..) = check_cohort("GPU", &base, &data, &on_gpu);
    for (found, expected) in on_gpu.iter().flatten().zip(losses.iter().flatten()) {
        assert!((found - expected).abs() <= 1e-3 * expected, "the GPU's loss is {found}, the CPU's {expected}");
    }
}

#[test]
fn a_score_has_a_loss_and_no_right_answers() {
    let (base, data) = (encoder(1), texts(Wanted::Score));
    let cpu = |plan| -> Box<dyn Device> { Box::new(Cpu::<f32>::new(plan, base.tensors.clone(), Some(2))) };
    let (losses, trained, validations) = check_cohort("CPU", &base, &data, &cpu);
    assert!(losses.iter().flatten().all(|loss| loss.is_finite()));
    for (trained, validation) in trained.iter().zip(&validations) {
        let validation = validation.expect("no run diverges");
        assert!(validation.loss.is_finite());
        assert_eq!((validation.accuracy, validation.confusion), (None, None));
        let pairs = predictions(&base, &data, trained);
        let squared = pairs.iter().map(|(given, wanted)| f64::from(given - wanted).powi(2)).sum::<f64>();
        assert!((validation.loss - squared / pairs.len() as f64).abs() < 1e-6, "{validation:?}");
        let correlation = Correlation::of(&pairs);
        assert!(correlation.pearson.is_some_and(|pearson| pearson.abs() > 0.01), "{correlation:?}");
        assert_eq!(validation.correlation, Some(correlation));
    }
    let native = gpu::native();
    let on_gpu = |plan| -> Box<dyn Device> {
        let device = wait(Gpu::new(native.clone(), plan, base.tensors.clone()));
        Box::new(device.expect("the GPU has memory for a small model"))
    };
    for (found, expected) in train(&base, &data, &runs(), &on_gpu).2.into_iter().zip(validations) {
        let pearson = |validation: Option<Validation>| validation.and_then(|one| one.correlation?.pearson);
        let (found, expected) = (pearson(found).expect("scores"), pearson(expected).expect("scores"));
        assert!((found - expected).abs() < 1e-3, "the GPU's correlation is {found}, the CPU's {expected}");
    }
}

#[test]
fn frozen_pairs_leave_the_head_alone() {
    let (base, data) = (encoder(2), texts(Wanted::Class(vec![])));
    let cpu = |plan| -> Box<dyn Device> { Box::new(Cpu::<f32>::new(plan, base.tensors.clone(), Some(2))) };
    let seeds: Vec<Run> = (0..2).map(|seed| run("init-ab-subtract", seed, 3e-3)).collect();
    let plain: Vec<Run> = (0..2).map(|seed| run("init-b", seed, 3e-3)).collect();
    let [pairs, plain] = [seeds, plain].map(|runs| train(&base, &data, &runs, &cpu).0);
    for (pair, plain) in pairs.iter().zip(&plain) {
        assert_eq!(pair[0], plain[0], "step 0 is the base with the seed's head");
    }
}
