//! Examples that share a sequence are learnt as if each had one of its own.

use std::sync::Arc;

use loralab_core::{
    device::{Cpu, wait},
    graph::{
        plan::Shape,
        tape::{Positions, Purpose, Tape},
    },
    lab::train::validate,
    models::{Adapters, Training, llama::MODULES},
};
use loralab_data::{Dataset, Task, validation};
use loralab_tokenizer::Tokenizer;

use super::NANO;

const SHAPE: Shape = Shape { runs: 1, sequences: 2, tokens: 192 };

fn loss(data: &Dataset, positions: Positions) -> f64 {
    let adapters = Adapters::new(1, MODULES.map(str::to_owned).into());
    let mut tape = Tape::new(SHAPE, false);
    tape.positions(positions);
    NANO.model.record(&mut tape, Training::Adapters(&NANO, &adapters));
    let plan = Arc::new(tape.compile(Purpose::Evaluate));
    let batches = validation(data, SHAPE.sequences, SHAPE.tokens, usize::MAX).expect("the data fit");
    let mut device = Cpu::<f32>::new(plan, NANO.tensors.clone(), Some(2));
    wait(validate(&mut device, 1, &batches)).expect("the device does not fail")[0].expect("a loss").loss
}

#[test]
fn packed_examples_do_not_see_each_other() {
    let examples = Dataset::Examples(Task::Translation.examples(&Tokenizer::Bytes, 0, 24).into());
    let packed = examples.clone().packed(SHAPE.tokens);
    let count = packed.sequences(SHAPE.tokens);
    assert!(count <= 10, "24 examples take {count} sequences");
    let [padded, apart, together] =
        [(&examples, Positions::ByIndex), (&packed, Positions::Given), (&packed, Positions::ByIndex)]
            .map(|(data, positions)| loss(data, positions));
    assert!((padded - apart).abs() <= 1e-5 * padded, "{padded} padded, {apart} packed");
    assert!((padded - together).abs() > 1e-3 * padded, "{padded} padded, {together} where they see each other");
}
