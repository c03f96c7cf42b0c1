use std::sync::Arc;

use loralab_core::{
    device::{Cpu, Inputs},
    graph::tape::Purpose,
    lab::train::start,
};

use super::{ADAMW, NANO, batches, plan, run};

#[test]
fn every_kind_of_start_learns_one_batch_by_heart() {
    let batch = &batches(0, 1)[0];
    let schemes = ["init-a", "init-b", "init-ab-subtract"];
    let plan = Arc::new(plan(schemes.len(), true, Purpose::Train(ADAMW)));
    let mut device = Cpu::<f32>::new(plan.clone(), NANO.tensors.clone(), None);
    for (index, scheme) in schemes.into_iter().enumerate() {
        let run = run(scheme, 0, 0.01);
        let (trained, frozen_pairs) = start(&plan, &NANO.tensors, &run).expect("a start").numbers();
        device.load(index, &trained, &frozen_pairs, run.settings);
    }
    let inputs = [Inputs::from(batch); 3];
    let before = device.evaluate(&inputs);
    for _ in 0..60 {
        device.step(&inputs, &[0.01; 3]);
    }
    for ((scheme, before), after) in schemes.iter().zip(before).zip(device.evaluate(&inputs)) {
        let (before, after) = (before.expect("it has not begun"), after.expect("it does not diverge"));
        println!("{scheme}: {:.3} → {:.5}", before.loss, after.loss);
        assert!(before.loss > 1.0 && after.loss < 0.05, "{scheme}: {} → {}", before.loss, after.loss);
        assert!(after.answers.iter().all(|&correct| correct == 1.0), "{scheme} knows every byte");
    }
}
