use std::sync::Arc;

use loralab_core::{
    device::{Cpu, Inputs},
    graph::{
        plan::Shape,
        tape::{Purpose, Tape},
    },
    lab::train::Run,
    models::{Adapters, Training},
};

use super::{ADAMW, NANO, SEQUENCES, TOKENS, Trace, batches, run, train};

const STEPS: usize = 4;

/// Sixteen runs of different starts, seeds, rates, scales, decays and clipping.
fn sixteen() -> Vec<Run> {
    let schemes = ["init-a", "init-b", "init-a-kaiming", "init-b-kaiming", "init-ab"];
    let mut runs: Vec<Run> =
        (0..16).map(|i| run(schemes[i % 5], (i / 4) as u64, 1e-3 * 2.0_f64.powi(i as i32 % 7))).collect();
    for (index, run) in runs.iter_mut().enumerate() {
        run.settings.scale = 0.5 + index as f64 / 4.0;
        run.settings.weight_decay = 0.1 * (index % 2) as f64;
        run.settings.learning_rate_ratio = 1.0 + (index % 3) as f64;
        run.settings.max_grad_norm = (index % 4) as f64;
    }
    runs
}

fn alone(runs: &[Run]) -> Vec<Trace> {
    runs.iter().flat_map(|run| train(std::slice::from_ref(run), STEPS, 1)).collect()
}

#[test]
fn sixteen_runs_together_equal_each_alone_bit_for_bit() {
    let runs = sixteen();
    let together = train(&runs, STEPS, 2);
    assert!(together.iter().all(|trace| trace.losses.len() == STEPS && trace.diverged.is_none()));
    for (index, (together, alone)) in together.iter().zip(alone(&runs)).enumerate() {
        assert!(*together == alone, "run {index} depends on its cohort");
    }
    for (index, trace) in together.iter().enumerate() {
        assert!(
            together[..index].iter().all(|other| other.trained != trace.trained),
            "run {index} is no run of its own"
        );
    }
}

#[test]
fn frozen_pairs_do_not_depend_on_the_cohort_either() {
    let runs: Vec<Run> = (0..3).map(|seed| run("init-ab-subtract", seed, 4e-3)).collect();
    assert!(train(&runs, STEPS, 2) == alone(&runs));
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let runs = &sixteen()[..5];
    let one = train(runs, STEPS, 1);
    for threads in [2, 3] {
        assert!(train(runs, STEPS, threads) == one, "{threads} threads differ from one");
    }
}

#[test]
fn a_cohort_that_subtracts_its_start_begins_exactly_at_the_base() {
    let seeds = [0, 1, 2];
    let runs: Vec<Run> = seeds.map(|seed| run("init-ab-subtract", seed, 4e-3)).into();
    let traces = train(&runs, 1, 2);
    let shape = Shape { runs: 1, sequences: SEQUENCES, tokens: TOKENS };
    let mut tape = Tape::new(shape, false);
    NANO.model.record(&mut tape, Training::Adapters(&NANO, &Adapters::new(1, vec![])));
    let bare = Cpu::<f32>::new(Arc::new(tape.compile(Purpose::Train(ADAMW))), NANO.tensors.clone(), Some(1));
    for (seed, trace) in seeds.into_iter().zip(traces) {
        let evaluations = bare.evaluate(&[Inputs::from(&batches(seed, 1)[0])]);
        let base = evaluations[0].as_ref().map(|evaluation| evaluation.loss);
        assert_eq!(Some(trace.losses[0]), base, "seed {seed}");
    }
}
