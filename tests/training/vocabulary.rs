//! A vocabulary so large that neither its table nor its logits fit into a browser's bindings.

use std::sync::Arc;

use half::f16;
use loralab_core::{
    device::{Cpu, Device, Gpu, Inputs, wait},
    graph::{
        memory::{Data, InputName, Tensor, Weight},
        plan::{Plan, Shape},
        tape::{Purpose, Tape},
    },
};
use loralab_linalg::{Draws, Stream};

use super::{ADAMW, SETTINGS};
use crate::gpu;

/// Gemma's vocabulary.
const VOCABULARY: usize = 262_144;
const BINDING: u64 = 128 << 20;

/// An embedding, an adapter and the tied head.
fn plan(shape: Shape, width: usize) -> Plan {
    let mut tape = Tape::new(shape, false);
    let x = tape.embedding(Weight::Frozen(0), width);
    let y = tape.lora_linear(x, Weight::Frozen(1), None, width, 2, "middle");
    let sum = tape.add(x, y);
    tape.head(sum, Weight::Frozen(0), VOCABULARY, None);
    tape.compile(Purpose::Train(ADAMW))
}

fn normal(name: &str, std: f32, len: usize) -> Vec<f32> {
    let mut values = vec![0.0; len];
    Stream::new(1, name).normal(std, &mut values);
    values
}

#[test]
fn it_trains_in_the_bindings_of_a_browser_as_on_the_cpu() {
    // As narrow as a table that one binding cannot hold may be.
    let (width, rows) = (136, 5);
    // Drawn once and repeated, row by row with another scale, since a draw of all takes longer than the training.
    let pattern = normal("table", 1.0, 1021 * width);
    let table = |index: usize| pattern[index % pattern.len()] * (1.0 + (index / width % 7) as f32 / 8.0);
    let table = Data::F32((0..VOCABULARY * width).map(table).collect());
    assert!(table.to_le_bytes().len() as u64 > BINDING, "the table fits into one binding");
    let middle = Data::F32(normal("middle", 1.0 / (width as f32).sqrt(), width * width).into());
    let tensor = |name: &str, rows: usize, data: Data| Tensor { name: name.to_owned(), shape: [rows, width], data };
    let base: Arc<[Tensor]> = [tensor("table", VOCABULARY, table), tensor("middle", width, middle)].into();

    let plan = Arc::new(plan(Shape { runs: 2, sequences: 1, tokens: rows }, width));
    let web = gpu::web_base();
    assert!(web.largest_buffer() <= BINDING);
    let mut draws = Draws::new(1, "rows");
    let mut tokens = || -> Vec<u32> { (0..rows).map(|_| draws.below(VOCABULARY as u32)).collect() };
    // The first and the last token there are, on both sides.
    let (mut read, mut expected) = (tokens(), tokens());
    (read[0], expected[0]) = (VOCABULARY as u32 - 1, 0);
    (read[1], expected[1]) = (0, VOCABULARY as u32 - 1);
    let weights = [0.25, 0.25, 0.25, 0.25, 0.0];
    let input = Inputs::new()
        .with(InputName::Tokens, &read)
        .with(InputName::Targets, &expected)
        .with(InputName::Weights, &weights[..]);
    let losses = |mut device: Box<dyn Device>| -> Vec<f64> {
        for run in 0..2 {
            device.load(run, &normal("adapter", 0.1, plan.trained_len()), &[], SETTINGS);
        }
        let mut losses = vec![];
        for _ in 0..2 {
            device.step(&[input, input], &[1e-3, 1e-2]);
            let reports = wait(device.reports()).expect("the device does not fail").remove(0);
            losses.extend(reports.into_iter().flatten().map(|report| report.loss));
        }
        losses
    };
    let on_gpu = losses(Box::new(wait(Gpu::new(web, plan.clone(), base.clone())).expect("it fits into parts")));
    let on_cpu = losses(Box::new(Cpu::<f32>::new(plan.clone(), base, None)));
    println!("losses on the GPU {on_gpu:?}, on the CPU {on_cpu:?}");
    assert_eq!((on_gpu.len(), on_cpu.len()), (4, 4));
    assert!(on_gpu[3] < on_gpu[1], "a step lowers the loss");
    for (one, other) in on_gpu.iter().zip(&on_cpu) {
        assert!(((one - other) / other).abs() <= 1e-4, "{one} on the GPU, {other} on the CPU");
    }
}

/// A batch of ordinary length, whose logits together would be 8 GiB.
#[test]
fn no_buffer_of_a_long_batch_is_larger_than_a_binding() {
    let (width, rows) = (640, 8 * 1024);
    let plan = plan(Shape { runs: 1, sequences: 8, tokens: 1024 }, width);
    let stored = |name: &str, rows: usize| Tensor {
        name: name.to_owned(),
        shape: [rows, width],
        data: Data::F16(vec![f16::ZERO; rows * width].into()),
    };
    let base = [stored("table", VOCABULARY), stored("middle", width)];
    let needs = Gpu::needs(&gpu::web_base(), &plan, &base);
    assert!(plan.columns() < 16 * width, "{} columns", plan.columns());
    assert!(needs.most_runs.is_some_and(|runs| runs.get() >= 2), "{needs:?}");
    let logits = (rows * VOCABULARY * 4) as u64;
    assert!(needs.of(1) < logits / 8, "{} bytes, the logits alone are {logits}", needs.of(1));
}
