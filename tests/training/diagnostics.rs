//! A look into a run of a sweep says what is said in f64 by other ways: with every weight trained, so that the gradient of each is formed, and with
//! the adapter merged.

use std::{ops::ControlFlow, sync::Arc};

use loralab_core::{
    device::{Cpu, Inputs, RunSettings, wait},
    graph::{
        memory::{Group, Tensor},
        plan::{Plan, Shape},
        tape::{Purpose, Tape},
    },
    lab::{Observer, Sweep},
    lora::{init, peft::Adapter},
    models::Training,
};
use loralab_data::{Batch, validation};
use loralab_experiment::{Cell, Diagnosis, Event, Experiment};

use super::{ADAMW, NANO, TOKENS, TRANSLATION};

#[derive(Default)]
struct Witness {
    /// Scheme, step, KL and adapters of every look.
    snapshots: Vec<(String, usize, Option<f64>, Vec<Diagnosis>)>,
    adapters: Vec<(String, Adapter)>,
}

impl Observer for Witness {
    fn seconds(&self) -> f64 {
        0.0
    }

    fn event(&mut self, event: Event) -> ControlFlow<()> {
        if let Event::Diagnosis { cell, step, kl_from_base, adapters } = event {
            self.snapshots.push((cell.scheme, step, kl_from_base, adapters));
        }
        ControlFlow::Continue(())
    }

    fn adapter(&mut self, cell: &Cell, adapter: Adapter) -> ControlFlow<()> {
        self.adapters.push((cell.scheme.clone(), adapter));
        ControlFlow::Continue(())
    }
}

fn witness(settings: &str) -> Witness {
    let names: Vec<&str> = init::ALL.iter().map(|scheme| scheme.name).collect();
    let experiment = Experiment::from_toml(settings).and_then(|written| written.resolve(&names)).expect("it is right");
    let sweep = Sweep::new(&NANO, "nano", &experiment, &TRANSLATION).expect("the data fit");
    let make_device = |plan: Arc<Plan>, base: Arc<[Tensor]>| -> loralab_core::device::Answer<'_, _> {
        Box::pin(
            async move { Ok(Box::new(Cpu::<f32>::new(plan, base, None)) as Box<dyn loralab_core::device::Device>) },
        )
    };
    let mut witness = Witness::default();
    wait(sweep.run(&[experiment.cells()], &make_device, &mut witness)).expect("a CPU does not fail");
    witness
}

/// Nano on the probe in f64 with these weights, all of them trained: what it says, and their gradient with the plan that names them.
fn everything(batch: &Batch, weight_of: impl Fn(&str) -> Vec<f32>) -> (Vec<f32>, Vec<f64>, Arc<Plan>) {
    let of = |purpose| {
        let mut tape = Tape::new(Shape { runs: 1, sequences: 1, tokens: TOKENS }, false);
        NANO.model.record(&mut tape, Training::Everything);
        let plan = Arc::new(tape.compile(purpose));
        let values: Vec<f32> = plan.parameters.iter().flat_map(|parameter| weight_of(&parameter.name)).collect();
        let mut device = Cpu::<f64>::new(plan.clone(), Arc::from([]), Some(1));
        let settings = RunSettings { scale: 1.0, learning_rate_ratio: 1.0, weight_decay: 0.0, max_grad_norm: 0.0 };
        device.load(0, &values, &[], settings);
        (device, plan)
    };
    let (predicts, _) = of(Purpose::Predict);
    let (trains, plan) = of(Purpose::Train(ADAMW));
    let gradient = trains.gradient(0, Inputs::from(batch)).1;
    (predicts.predict(&[Inputs::from(batch)]).remove(0), gradient, plan)
}

fn base_weight(name: &str) -> Vec<f32> {
    NANO.tensors.iter().find(|tensor| tensor.name == name).expect("nano has it").data.to_f32().into_owned()
}

/// s (B A − B₀ A₀) of a module, (O, I), formed.
fn product(adapter: &Adapter, module: &str) -> Option<Vec<f64>> {
    let module = adapter.modules.iter().find(|found| found.name == module)?;
    let rank = module.a.len() / module.inputs;
    let entry = |a: &[f32], b: &[f32], o: usize, i: usize| -> f64 {
        (0..rank).map(|r| f64::from(b[o * rank + r]) * f64::from(a[r * module.inputs + i])).sum()
    };
    let moved = |k: usize| {
        let (o, i) = (k / module.inputs, k % module.inputs);
        let frozen = module.frozen.as_ref().map_or(0.0, |(a, b)| entry(a, b, o, i));
        adapter.scale() * (entry(&module.a, &module.b, o, i) - frozen)
    };
    Some((0..module.outputs * module.inputs).map(moved).collect())
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let total: f64 = logits.iter().map(|x| f64::from(*x).exp()).sum();
    logits.iter().map(|x| f64::from(*x) - total.ln()).collect()
}

#[test]
fn alignment_and_change_are_those_of_formed_gradients_and_merged_weights() {
    // Of the two, one has a frozen pair, which is subtracted in the other by zeros.
    let witness = witness(
        "base = \"nano\"\nschemes = [\"init-b\", \"init-ab-subtract\"]\nlearning_rates = 4e-3\nseeds = 1\nsteps = 3\nrank = 4\n\
         batch_size = 2\nvalidation_examples = 2\ndiagnose_every = 3",
    );
    let batch = validation(&TRANSLATION.validation, 1, TOKENS, 1).expect("it fits").remove(0);
    let (said, gradient, plan) = everything(&batch, base_weight);
    let columns = NANO.model.vocabulary();
    for (scheme, step, kl, adapters) in &witness.snapshots {
        let adapter = &witness.adapters.iter().find(|(of, _)| of == scheme).expect("every run gives one").1;
        assert_eq!((*step, adapters.len()), (3, 14));
        for diagnosis in adapters {
            let name = format!("{}.weight", diagnosis.module);
            let parameter = plan.parameters.iter().find(|parameter| parameter.name == name).expect("it is trained");
            assert_eq!(parameter.group, Group::Matrix);
            let gradient = &gradient[parameter.span.range()];
            let moved = product(adapter, &diagnosis.module).expect("it is adapted");
            let sum = |left: &[f64], right: &[f64]| left.iter().zip(right).map(|(x, y)| x * y).sum::<f64>();
            let lengths = sum(&moved, &moved).sqrt() * sum(gradient, gradient).sqrt();
            let (found, expected) = (diagnosis.alignment.expect("it has moved"), -sum(&moved, gradient) / lengths);
            assert!((found - expected).abs() <= 1e-4, "{scheme} {name}: {found} instead of {expected}");
        }
        let merged = |name: &str| {
            let moved = product(adapter, name.trim_end_matches(".weight"));
            let weight = base_weight(name);
            moved.map_or(weight.clone(), |moved| weight.iter().zip(moved).map(|(w, x)| w + x as f32).collect())
        };
        let (trained_says, ..) = everything(&batch, merged);
        let rows = said.chunks_exact(columns).zip(trained_says.chunks_exact(columns)).zip(&batch.weights);
        let rows: Vec<f64> = rows
            .filter(|(_, weight)| **weight != 0.0)
            .map(|((base, run), _)| {
                let [p, q] = [base, run].map(log_softmax);
                p.iter().zip(q).map(|(p, q)| p.exp() * (p - q)).sum()
            })
            .collect();
        let (found, expected) = (kl.expect("nano has few logits"), rows.iter().sum::<f64>() / rows.len() as f64);
        assert!(found > 1e-3 && (found / expected - 1.0).abs() <= 1e-3, "{scheme}: {found} instead of {expected}");
    }
    assert_eq!(witness.snapshots.len(), 2);
}

#[test]
fn adams_epsilon_outweighs_what_it_is_larger_than() {
    let looked = |epsilon: &str| {
        let settings = format!(
            "base = \"nano\"\nschemes = \"init-b\"\nlearning_rates = 1e-3\nseeds = 1\nsteps = 1\nrank = 4\nbatch_size = 2\n\
             validation_examples = 2\ndiagnose_every = 1\n{epsilon}"
        );
        witness(&settings).snapshots.remove(0).3
    };
    // In the first step of Init[B] every element of A has a gradient and none of B.
    for adapter in looked("epsilon = 1e3") {
        assert_eq!((adapter.below_epsilon_a, adapter.below_epsilon_b), (Some(1.0), Some(0.0)));
    }
    assert!(looked("epsilon = 1e-30").iter().all(|adapter| adapter.below_epsilon_a == Some(0.0)));
    assert!(looked("optimizer = \"sgd\"").iter().all(|adapter| adapter.below_epsilon_a.is_none()));
}
