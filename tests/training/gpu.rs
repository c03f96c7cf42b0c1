//! Nano on the GPU: its first step is the CPU's to rounding, its first losses to AdamW's amplification of it, and a run has the same bits alone, in any
//! cohort, and again.

use std::sync::Arc;

use loralab_core::{
    device::{
        Cpu, Gpu, Inputs, Probe, RunSettings, wait,
        webgpu::{Accelerator, Checks, Profile},
    },
    graph::{plan::Plan, shader::Memory, tape::Purpose},
    lab::train::{Initial, Run, start},
    lora::init::{ALL, Rule},
};

use super::{ADAMW, NANO, Trace, batches, plan, run, tape, train, train_on};
use crate::gpu;

fn on(accelerator: &Arc<Accelerator>, plan: Arc<Plan>) -> Gpu {
    wait(Gpu::new(accelerator.clone(), plan, NANO.tensors.clone())).expect("nano runs on every GPU")
}

fn train_on_gpu(runs: &[Run], steps: usize) -> Vec<Trace> {
    let accelerator = gpu::native();
    train_on(runs, steps, |plan| Box::new(on(&accelerator, plan)))
}

#[test]
fn the_first_step_has_the_loss_and_the_gradients_of_the_cpu() {
    use loralab_core::device::Device;
    let plan = Arc::new(plan(2, true, Purpose::Probe));
    // Both factors are random, so no gradient is zero; the second pair is subtracted in one run and zero in the other.
    let runs = [run("init-ab", 0, 1e-3), run("init-ab-subtract", 1, 1e-3)];
    let rows: Vec<_> = runs.iter().map(|run| batches(run.seed, 1).remove(0)).collect();
    let inputs: Vec<Inputs<'_>> = rows.iter().map(Inputs::from).collect();
    let mut gpu = on(&gpu::native(), plan.clone());
    let mut cpu = Cpu::<f64>::new(plan.clone(), NANO.tensors.clone(), None);
    for (index, run) in runs.iter().enumerate() {
        let (trained, frozen_pairs) = start(&plan, &NANO.tensors, run).expect("a start").numbers();
        Device::load(&mut gpu, index, &trained, &frozen_pairs, run.settings);
        cpu.load(index, &trained, &frozen_pairs, run.settings);
    }
    let found = wait(gpu.probe(&inputs)).expect("the GPU does not fail");
    let expected = cpu.probe(&inputs);
    for (index, Probe { loss, gradient, observed, prediction }) in found.iter().enumerate() {
        assert_eq!((observed.len(), expected[index].observed.len()), (14, 14));
        for (found, expected) in observed.iter().zip(&expected[index].observed) {
            let difference: Vec<f32> = found.iter().zip(expected).map(|(found, expected)| found - expected).collect();
            let off = loralab_linalg::norm(&difference) / loralab_linalg::norm(expected);
            assert!(
                found.len() == expected.len() && off <= 1e-5,
                "features of run {index} are off by {off:e} of their norm"
            );
        }
        let said = loralab_linalg::norm(&expected[index].prediction);
        let off: Vec<f32> = prediction.iter().zip(&expected[index].prediction).map(|(x, y)| x - y).collect();
        assert!(prediction.len() == rows[index].tokens.len() * NANO.model.vocabulary() && said > 0.0);
        assert!(loralab_linalg::norm(&off) <= 1e-5 * said, "the logits of run {index} are off");
        let (exact, double) = cpu.gradient(index, inputs[index]);
        let loss_off = ((loss - exact) / exact).abs();
        let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
        let off = plan.parameters.iter().map(|parameter| {
            let range = || parameter.span.range();
            let difference = norm(&mut range().map(|i| f64::from(gradient[i]) - double[i]));
            difference / norm(&mut range().map(|i| double[i]))
        });
        let worst = off.fold(0.0, f64::max);
        println!("run {index} is off by, relative: loss {loss_off:e}, the worst gradient {worst:e}");
        // The tolerances of f32 on the CPU.
        assert!(loss_off <= 2e-6, "run {index}: the loss is {loss}, in f64 {exact}");
        assert!(worst <= 1e-5, "run {index}: a gradient is off by {worst:e} of its norm");
    }
}

/// Every start that random numbers are all of is drawn where it trains, with the host's bits.
#[test]
fn starts_that_are_drawn_have_the_bits_of_the_host() {
    use loralab_core::device::Device;
    for pairs in [false, true] {
        let drawn = ALL.iter().filter(|scheme| matches!(scheme.rule, Rule::Fill(_)) && (pairs || !scheme.frozen_pair));
        let runs: Vec<Run> = drawn.zip(0..).map(|(scheme, seed)| run(scheme.name, seed, 1e-3)).collect();
        assert!(runs.len() >= 8, "{}", runs.len());
        let plan = Arc::new(plan(runs.len(), pairs, Purpose::Train(ADAMW)));
        let mut gpu = on(&gpu::native(), plan.clone());
        // Numbers from before are overwritten.
        let stale = vec![7.0; plan.trained_len()];
        for (index, run) in runs.iter().enumerate() {
            Device::load(&mut gpu, index, &stale, if pairs { &stale } else { &[] }, run.settings);
        }
        let starts: Vec<Initial> =
            runs.iter().map(|run| start(&plan, &NANO.tensors, run).expect("it is drawn")).collect();
        for (index, (start, run)) in starts.iter().zip(&runs).enumerate() {
            start.put(&mut gpu, index, run.settings);
        }
        let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
        let states = wait(gpu.states()).expect("the GPU does not fail");
        let frozen = wait(gpu.words(Memory::FrozenPairs)).expect("the GPU does not fail").unwrap_or_default();
        for (index, (state, start)) in states.iter().zip(&starts).enumerate() {
            let (scheme, len) = (runs[index].scheme.name, plan.trained_len());
            assert!(bits(&state.trained) == bits(start.trained()), "{scheme} is not the host's");
            assert!(state.moments.iter().all(|x| *x == 0.0) && state.steps == 0, "{scheme}");
            let of_run = frozen.get(index * len..(index + 1) * len).unwrap_or_default();
            assert!(*of_run == bits(start.frozen_pairs()), "{scheme}: another pair");
            assert_eq!(start.frozen_pairs().iter().any(|x| *x != 0.0), runs[index].scheme.frozen_pair, "{scheme}");
        }
    }
}

/// The same kernels on the same operands, only later.
#[test]
fn layers_that_are_computed_again_change_no_bit() {
    use loralab_core::device::Device;
    let run = run("init-ab-subtract", 1, 1e-3);
    let of = |recomputes: bool| {
        let mut tape = tape(1, true);
        tape.recompute_layers(recomputes);
        let plan = Arc::new(tape.compile(Purpose::Train(ADAMW)));
        let mut gpu = on(&gpu::native(), plan.clone());
        let (trained, frozen_pairs) = start(&plan, &NANO.tensors, &run).expect("a start").numbers();
        Device::load(&mut gpu, 0, &trained, &frozen_pairs, run.settings);
        let batch = batches(run.seed, 1).remove(0);
        let Probe { loss, gradient, .. } = wait(gpu.probe(&[Inputs::from(&batch)])).expect("a probe").remove(0);
        (plan.backward.len(), loss, gradient)
    };
    let (kept, again) = (of(false), of(true));
    assert!(again.0 > kept.0 && kept.1.is_finite() && kept.2.iter().any(|x| *x != 0.0));
    assert!((kept.1, kept.2) == (again.1, again.2));
}

#[test]
fn twenty_losses_are_those_of_the_cpu_at_rates_up_to_the_best() {
    let runs = [run("init-a", 0, 1e-3), run("init-a", 0, 8e-3), run("init-b", 1, 4e-3)];
    let (found, expected) = (train_on_gpu(&runs, 20), train(&runs, 20, 2));
    let mut worst = 0.0_f64;
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!((found.losses.len(), expected.losses.len()), (20, 20));
        let off =
            found.losses.iter().zip(&expected.losses).map(|(found, expected)| ((found - expected) / expected).abs());
        worst = off.fold(worst, f64::max);
        let [found, expected] = [found, expected].map(|trace| trace.validation.expect("no run diverged"));
        worst = worst.max(((found.loss - expected.loss) / expected.loss).abs());
        assert_eq!(found.accuracy, expected.accuracy);
    }
    println!("the losses are off by {worst:e} at most");
    assert!(worst <= 1e-3, "a loss is off by {worst:e}");
}

#[test]
fn a_run_has_the_same_bits_alone_and_together_and_again() {
    let mut runs: Vec<Run> = ["init-a", "init-b", "init-ab-subtract"].map(|scheme| run(scheme, 3, 4e-3)).into();
    runs[1].settings = RunSettings { scale: 0.7, learning_rate_ratio: 4.0, weight_decay: 0.1, max_grad_norm: 0.1 };
    let together = train_on_gpu(&runs, 3);
    assert!(train_on_gpu(&runs, 3) == together, "the same cohort differs from itself");
    assert!(together[0].trained != together[1].trained && together[1].trained != together[2].trained);
    // Alone as part of a cohort that has second pairs, as it was together.
    let pairs = run("init-ab-subtract", 0, 1e-3);
    for (index, run) in runs.iter().enumerate() {
        let alone = train_on_gpu(&[run.clone(), pairs.clone()], 3);
        assert!(alone[0] == together[index], "run {index} depends on its cohort");
    }
    assert!(train_on_gpu(&runs[2..], 3)[0] == together[2], "the last run depends on its cohort");
}

#[test]
fn steps_handed_over_together_are_those_handed_over_one_by_one() {
    use loralab_core::device::Device;
    let plan = Arc::new(plan(1, false, Purpose::Train(ADAMW)));
    let run = run("init-a", 0, 4e-3);
    let batches = batches(run.seed, 42);
    let losses = |at_once: usize| -> Vec<f64> {
        let mut device = on(&gpu::native(), plan.clone());
        Device::load(
            &mut device,
            0,
            start(&plan, &NANO.tensors, &run).expect("it is drawn").trained(),
            &[],
            run.settings,
        );
        let mut losses = vec![];
        // Rates differ from step to step, and 42 steps go more than once around the rings, which end in the middle of seven.
        for (part, some) in batches.chunks(at_once).enumerate() {
            for (place, batch) in some.iter().enumerate() {
                let step = part * at_once + place;
                Device::step(&mut device, &[Inputs::from(batch)], &[1e-4 * (1 + step % 5) as f64]);
            }
            let reports = wait(device.reports()).expect("the GPU does not fail");
            losses.extend(reports.iter().map(|runs| runs[0].as_ref().expect("no run diverged").loss));
        }
        losses
    };
    let one_by_one = losses(1);
    assert_eq!(one_by_one.len(), 42);
    assert_eq!(losses(7), one_by_one);
}

#[test]
fn a_run_that_diverges_is_marked_as_on_the_cpu_and_harms_no_other() {
    let runs = [run("init-a", 0, 4e-3), run("init-b", 0, 1e38), run("init-a", 1, 4e-3)];
    let (found, expected) = (train_on_gpu(&runs, 5), train(&runs, 5, 2));
    assert_eq!(found[1].diverged, expected[1].diverged);
    assert!(found[1].diverged.is_some() && found[1].validation.is_none());
    let well = train_on_gpu(&[runs[0].clone(), runs[2].clone()], 5);
    assert!(found[0] == well[0] && found[2] == well[1], "a diverged run changes another");
}

#[test]
fn a_cohort_that_subtracts_its_start_begins_exactly_at_the_base() {
    let runs: Vec<Run> = [0, 1].map(|seed| run("init-ab-subtract", seed, 4e-3)).into();
    let bare: Vec<Run> = [0, 1].map(|seed| run("init-a", seed, 4e-3)).into();
    // Init[A] begins with B at zero, so at the base too; it has no second pair.
    let losses = |runs: &[Run]| -> Vec<f64> { train_on_gpu(runs, 1).iter().map(|trace| trace.losses[0]).collect() };
    assert_eq!(losses(&runs), losses(&bare));
}

#[test]
fn a_gpu_that_is_lost_is_an_error_and_no_panic() {
    use loralab_core::device::Device;
    let accelerator = Arc::new(gpu::open(Profile::Native, Checks::On));
    let plan = Arc::new(plan(1, false, Purpose::Train(ADAMW)));
    let mut device = on(&accelerator, plan);
    let batch = batches(0, 1).remove(0);
    device.step(&[Inputs::from(&batch)], &[1e-3]);
    accelerator.lose();
    let error = wait(Device::reports(&mut device)).expect_err("nothing can be read from a lost GPU");
    assert!(error.to_string().contains("was lost"), "{error}");
    device.step(&[Inputs::from(&batch)], &[1e-3]);
    assert!(wait(Device::reports(&mut device)).is_err() && wait(Device::trained(&mut device)).is_err());
}

#[test]
fn what_is_too_large_for_a_gpu_is_refused_with_numbers_and_never_planned() {
    let web = gpu::web_base();
    let one = plan(1, false, Purpose::Train(ADAMW));
    let most = Gpu::needs(&web, &one, &NANO.tensors).most_runs.expect("a GPU has limits").get();
    // The widest rows of nano are the logits': 4 × 64 × 256 numbers of a run in 128 MiB.
    assert_eq!(most, 128 << 20 >> 18);
    let large = Arc::new(plan(most + 1, false, Purpose::Train(ADAMW)));
    let Err(error) = wait(Gpu::new(web, large, NANO.tensors.clone())) else { panic!("it does not fit a binding") };
    let sentence = error.to_string();
    assert!(sentence.contains("134217728 bytes") && sentence.contains("lower `cohort`"), "{sentence}");
}
