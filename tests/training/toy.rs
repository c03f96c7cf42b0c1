//! The paper's toy experiment in PyTorch and here, from the same tensors: `tests/fixtures/make_toy.py` made the numbers.

use loralab_core::graph::memory::InputName;
use std::sync::Arc;

use loralab_core::{
    device::{Cpu, Inputs, RunSettings},
    graph::{
        memory::{Data, Tensor},
        plan::Shape,
        tape::{Purpose, Tape},
    },
    models::teacher_student::{Network, teacher_student},
};
use loralab_experiment::{Form, Readout};
use safetensors::SafeTensors;

use super::ADAMW;

const FILE: &[u8] = include_bytes!("../fixtures/toy.safetensors");
const NETWORK: Network = Network { inputs: 5, width: 128, rank: 4, form: Form::Residual, readout: Readout::Standard };
const SETTINGS: RunSettings =
    RunSettings { scale: 1.0, learning_rate_ratio: 1.0, weight_decay: 0.0, max_grad_norm: 0.0 };
/// Rows, steps, and steps between the losses of the fixture.
const ROWS: usize = 1000;
const STEPS: usize = 100;
const EVERY: usize = 10;

struct Fixture(SafeTensors<'static>);

impl Fixture {
    fn floats(&self, name: &str) -> Vec<f32> {
        let tensor = self.0.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        tensor.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    }

    fn doubles(&self, name: &str) -> Vec<f64> {
        let tensor = self.0.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        tensor.data().as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect()
    }
}

#[test]
fn students_end_where_pytorch_s_end_at_every_rate_from_either_start() {
    let fixture = Fixture(SafeTensors::deserialize(FILE).expect("the fixture is whole"));
    let rates = fixture.doubles("rates");
    assert_eq!(rates.len(), 5);
    let mut tape = Tape::new(Shape { runs: rates.len(), sequences: ROWS, tokens: 1 }, false);
    teacher_student(&mut tape, NETWORK);
    let plan = Arc::new(tape.compile(Purpose::Train(ADAMW)));
    let frozen =
        |name: &str, shape| Tensor { name: name.to_owned(), shape, data: Data::F32(fixture.floats(name).into()) };
    let base: Arc<[Tensor]> =
        [frozen("w_in", [NETWORK.width, NETWORK.inputs]), frozen("w_out", [1, NETWORK.width])].into();
    let (features, expected) = (fixture.floats("x"), fixture.floats("y"));
    let weights = vec![1.0 / ROWS as f32; ROWS];
    let input = Inputs::new()
        .with(InputName::Features, &features)
        .with(InputName::Expected, &expected)
        .with(InputName::Weights, &weights);
    let inputs = vec![input; rates.len()];
    for start in ["init-a", "init-b"] {
        let mut device = Cpu::<f32>::new(plan.clone(), base.clone(), None);
        let trained = [fixture.floats(&format!("{start}.a")), fixture.floats(&format!("{start}.b"))].concat();
        for run in 0..rates.len() {
            device.load(run, &trained, &[], SETTINGS);
        }
        let theirs = fixture.doubles(&format!("{start}.losses"));
        for step in 1..=STEPS {
            device.step(&inputs, &rates);
            if step % EVERY == 0 {
                for (run, evaluation) in device.evaluate(&inputs).into_iter().enumerate() {
                    let ours = evaluation.expect("it is alive").loss;
                    let theirs = theirs[run * (STEPS / EVERY) + step / EVERY - 1];
                    let rate = rates[run];
                    assert!((ours / theirs - 1.0).abs() < 0.01, "{start} at {rate}, step {step}: {ours} for {theirs}");
                }
            }
        }
    }
}
