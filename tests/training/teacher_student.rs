//! The paper's teacher–student network learns.

use loralab_core::graph::memory::InputName;
use std::sync::Arc;

use loralab_core::{
    device::{Cpu, Inputs, RunSettings},
    graph::{
        plan::{Plan, Shape},
        tape::{Purpose, Tape},
    },
    lab::train::{Run, start},
    lora::init,
    models::teacher_student::{Network, teacher_student, weights},
};
use loralab_experiment::{Form, Readout};
use loralab_linalg::Stream;

use super::ADAMW;

const ROWS: usize = 200;

fn network(network: Network, purpose: Purpose) -> Arc<Plan> {
    let mut tape = Tape::new(Shape { runs: 1, sequences: ROWS, tokens: 1 }, false);
    teacher_student(&mut tape, network);
    Arc::new(tape.compile(purpose))
}

#[test]
fn a_student_of_either_start_comes_close_to_its_teacher() {
    let teacher = Network { inputs: 5, width: 100, rank: 20, form: Form::Residual, readout: Readout::Standard };
    let settings = RunSettings { scale: 1.0, learning_rate_ratio: 1.0, weight_decay: 0.0, max_grad_norm: 0.0 };
    let mut features = vec![0.0; ROWS * teacher.inputs];
    Stream::new(0, "features").normal(1.0, &mut features);
    let row_weights = vec![1.0 / ROWS as f32; ROWS];

    let plan = network(teacher, Purpose::Predict);
    let mut device = Cpu::<f32>::new(plan.clone(), weights(teacher, 1, "teacher").into(), None);
    let mut trained = vec![0.0; plan.trained_len()];
    Stream::new(1, "teacher").normal(0.2, &mut trained);
    device.load(0, &trained, &[], settings);
    let blank = vec![0.0; ROWS];
    let input = Inputs::new()
        .with(InputName::Features, &features)
        .with(InputName::Expected, &blank)
        .with(InputName::Weights, &row_weights);
    let expected = device.predict(&[input]).remove(0);
    assert_eq!(expected.len(), ROWS);

    let student = Network { inputs: 5, width: 64, rank: 4, form: Form::Residual, readout: Readout::Standard };
    for (scheme, learning_rate) in [("init-a", 1e-2), ("init-b", 5e-3)] {
        let plan = network(student, Purpose::Train(ADAMW));
        let mut device = Cpu::<f32>::new(plan.clone(), weights(student, 2, "student").into(), None);
        let run = Run {
            scheme: init::find(scheme).expect("a scheme"),
            chosen: Default::default(),
            seed: 0,
            learning_rate,
            settings,
        };
        device.load(0, start(&plan, &[], &run).expect("it needs no weights").trained(), &[], settings);
        let input = Inputs::new()
            .with(InputName::Features, &features)
            .with(InputName::Expected, &expected)
            .with(InputName::Weights, &row_weights);
        let losses: Vec<f64> =
            (0..300).map(|_| device.step(&[input], &[learning_rate])[0].as_ref().expect("alive").loss).collect();
        assert!(losses[299] < 0.05 * losses[0], "{scheme}: from {} to {}", losses[0], losses[299]);
    }
}
