//! Time per op of a training step on a GPU, by the GPU's own clock, and what the device can do at most.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use anyhow::{Context, Result};
use loralab_core::{
    device::{Device, Gpu, Input, wait},
    gpu::{Accelerator, Checks, Options, Profile, Wanted, adapters},
    train::start,
};
use loralab_data::Sampler;

use crate::{
    ops::{bytes_per_row, name},
    spread::Spread,
    workload::{self, Workload},
};

const REPETITIONS: usize = 11;

/// Opens the GPU that is meant.
pub fn open(wanted: &Wanted, checks: Checks) -> Result<Arc<Accelerator>> {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    let options = Options { profile: Profile::Native, checks, clock: || START.elapsed().as_secs_f64() };
    let opened = wait(async { Accelerator::open(wanted.choose(adapters().await)?, options).await })?;
    Ok(Arc::new(opened))
}

/// Prints the table of a cohort of `runs`.
pub fn print(workload: &Workload, accelerator: &Arc<Accelerator>, runs: usize) -> Result<()> {
    let found = accelerator.found();
    println!("## Time per op, {} ({}, {}, driver {})\n", found.name, found.kind, found.backend, found.driver);
    let plan = Arc::new(workload.plan(runs));
    let runs = workload::runs(runs)?;
    let mut device = wait(Gpu::new(accelerator.clone(), plan.clone(), workload.base.tensors.clone()))?;
    for (index, run) in runs.iter().enumerate() {
        device.load(index, &start(&plan, run).0, &[], run.settings);
    }
    let shape = plan.shape;
    let mut sampler = Sampler::new(&workload.text, 0, shape.sequences, shape.tokens)?;
    let rates: Vec<f64> = runs.iter().map(|run| run.learning_rate).collect();
    let mut kernels: BTreeMap<[&str; 2], (usize, usize, Option<usize>, Vec<f64>)> = BTreeMap::new();
    let rows = shape.rows_per_run() * shape.runs;
    for dispatch in plan.forward.iter().chain(&plan.backward) {
        let kernel = kernels.entry(name(dispatch)).or_default();
        kernel.0 += 1;
        kernel.1 += dispatch.op.flops_per_row(dispatch.pass) * rows;
        kernel.2 = bytes_per_row(dispatch).map(|bytes| kernel.2.unwrap_or(0) + bytes * rows);
    }
    let (mut updates, mut steps) = (Vec::new(), Vec::new());
    for step in 0..=REPETITIONS {
        let batch = sampler.batch(step as u64);
        let inputs = vec![Input::from(&batch); runs.len()];
        let started = Instant::now();
        device.step(&inputs, &rates);
        wait(device.reports())?;
        let whole = started.elapsed().as_secs_f64();
        let seconds = wait(device.seconds(&inputs, &rates))?;
        let seconds = seconds.context("this GPU has no timestamps, so no op can be timed by itself")?;
        // The first step compiles and fills caches.
        if step == 0 {
            continue;
        }
        steps.push(whole);
        kernels.values_mut().for_each(|kernel| kernel.3.push(0.0));
        for (dispatch, seconds) in plan.forward.iter().chain(&plan.backward).zip(&seconds) {
            if let Some(last) = kernels.get_mut(&name(dispatch)).and_then(|kernel| kernel.3.last_mut()) {
                *last += seconds;
            }
        }
        updates.extend(seconds.last());
    }
    let whole = Spread::of(steps);
    println!("A cohort of {}; median (least–greatest) of {REPETITIONS} steps.\n", runs.len());
    println!("| kernel | calls a step | µs a call | GFLOP/s | GB/s | share of the step |");
    println!("|---|---:|---:|---:|---:|---:|");
    let mut table: Vec<_> = kernels
        .into_iter()
        .map(|(name, (calls, flops, bytes, seconds))| (name, calls, flops, bytes, Spread::of(seconds)))
        .collect();
    table.sort_by(|one, other| other.4.median.total_cmp(&one.4.median));
    for (name, calls, flops, bytes, seconds) in &table {
        let per_call = seconds.scaled(1e6 / *calls as f64);
        let rate = |amount: usize| format!("{:.1}", amount as f64 / seconds.median / 1e9);
        let (flops, bytes) = match bytes {
            Some(bytes) => (String::new(), rate(*bytes)),
            None => (rate(*flops), String::new()),
        };
        let share = 100.0 * seconds.median / whole.median;
        println!("| {}/{} | {calls} | {per_call:.1} | {flops} | {bytes} | {share:.1} % |", name[0], name[1]);
    }
    let updates = Spread::of(updates);
    println!(
        "| finite, clip, adamw | 1 | {:.1} | | | {:.1} % |",
        updates.scaled(1e6),
        100.0 * updates.median / whole.median
    );
    let rate = plan.flops() as f64 / whole.median / 1e9;
    println!("| **the whole step** | 1 | {:.1} | {rate:.1} | | 100 % |\n", whole.scaled(1e6));
    Ok(())
}
