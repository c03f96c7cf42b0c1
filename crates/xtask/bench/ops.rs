//! Time per op of one training step, on one thread.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use anyhow::Result;
use loralab_core::{
    device::Inputs,
    graph::ops::{Dispatch, Op},
    lab::train::start,
};
use loralab_cpu::Store;
use loralab_data::Sampler;

use crate::{
    spread::Spread,
    workload::{self, Workload},
};

/// Steps that train the adapter away from its zeros, and fill caches.
const WARM_UP: usize = 50;
const REPETITIONS: usize = 101;

/// All dispatches of one kernel.
#[derive(Default)]
pub struct Kernel {
    pub calls: usize,
    /// Of one step.
    pub flops: usize,
    /// Read and written in one step, for kernels that compute little for what they touch.
    pub bytes: Option<usize>,
    /// Of one step, each repetition.
    pub seconds: Vec<f64>,
}

/// Prints the table.
pub fn print(workload: &Workload) -> Result<()> {
    let plan = Arc::new(workload.plan(1));
    let run = &workload::runs(1)?[0];
    let mut device = workload.device(&plan, Some(1));
    device.load(0, start(&plan, &[], run)?.trained(), &[], run.settings);
    let shape = plan.shape;
    let mut sampler = Sampler::new(&workload.text, run.seed, shape.sequences, shape.tokens)?;
    let mut step = 0;
    let mut batch = || {
        step += 1;
        sampler.batch(step)
    };
    for _ in 0..WARM_UP {
        device.step(&[Inputs::from(&batch())], &[run.learning_rate]);
    }

    let mut kernels: BTreeMap<[&str; 2], Kernel> = BTreeMap::new();
    for dispatch in plan.forward.iter().chain(&plan.backward) {
        let kernel = kernels.entry(name(dispatch)).or_default();
        kernel.flops += dispatch.op.flops_per_row(dispatch.pass) * shape.rows_per_run();
        kernel.bytes = bytes_per_row(dispatch).map(|bytes| kernel.bytes.unwrap_or(0) + bytes * shape.rows_per_run());
    }
    let mut steps = Vec::new();
    for _ in 0..REPETITIONS {
        let batch = batch();
        kernels.values_mut().for_each(|kernel| {
            kernel.calls = 0;
            kernel.seconds.push(0.0);
        });
        device.observe(0, Inputs::from(&batch), |dispatch, work| {
            let started = Instant::now();
            work();
            let seconds = started.elapsed().as_secs_f64();
            if let Some(kernel) = kernels.get_mut(&name(dispatch)) {
                kernel.calls += 1;
                *kernel.seconds.last_mut().expect("this repetition's entry was pushed above") += seconds;
            }
        });
        let started = Instant::now();
        device.step(&[Inputs::from(&batch)], &[run.learning_rate]);
        steps.push(started.elapsed().as_secs_f64());
    }

    let whole = Spread::of(steps);
    println!("## Time per op, one thread\n");
    println!("Median (least–greatest) of {REPETITIONS} steps; kernels in the order of their share.\n");
    println!("| kernel | calls a step | µs a call | GFLOP/s | GB/s | share of the step |");
    println!("|---|---:|---:|---:|---:|---:|");
    let mut rows: Vec<([&str; 2], usize, Kernel, Spread)> = Vec::new();
    for (name, mut kernel) in kernels {
        let spread = Spread::of(std::mem::take(&mut kernel.seconds));
        rows.push((name, kernel.calls, kernel, spread));
    }
    rows.sort_by(|a, b| b.3.median.total_cmp(&a.3.median));
    for (name, calls, kernel, seconds) in &rows {
        let per_call = seconds.scaled(1e6 / *calls as f64);
        let rate = |amount: usize| format!("{:.1}", amount as f64 / seconds.median / 1e9);
        let (flops, bytes) = match kernel.bytes {
            Some(bytes) => (String::new(), rate(bytes)),
            None => (rate(kernel.flops), String::new()),
        };
        let share = 100.0 * seconds.median / whole.median;
        println!("| {}/{} | {calls} | {per_call:.1} | {flops} | {bytes} | {share:.1} % |", name[0], name[1]);
    }
    let rest = whole.median - rows.iter().map(|(.., seconds)| seconds.median).sum::<f64>();
    let share = 100.0 * rest / whole.median;
    println!("| the rest: sums over micro-batches, finite, clip, adamw | 1 | {:.1} | | | {share:.1} % |", 1e6 * rest);
    let rate = plan.flops() as f64 / whole.median / 1e9;
    println!("| **the whole step** | 1 | {:.1} | {rate:.1} | | 100 % |\n", whole.scaled(1e6));
    Ok(())
}

pub fn name(dispatch: &Dispatch) -> [&'static str; 2] {
    [dispatch.op.name(), dispatch.pass.name()]
}

/// Bytes that a dispatch reads and writes for each row, if those say more about its speed than what it computes.
pub fn bytes_per_row(dispatch: &Dispatch) -> Option<usize> {
    let computes = matches!(
        dispatch.op,
        Op::Attention(_)
            | Op::CrossEntropy(_)
            | Op::Linear(_)
            | Op::LinearCrossEntropy(_)
            | Op::LoraLinear(_)
            | Op::Moments(_)
            | Op::Mse(_)
            | Op::Orthonormal(_)
    );
    if computes {
        return None;
    }
    let operands: usize = dispatch.operands().map(|(_, kind)| kind.columns).sum();
    let written = dispatch.writes.iter().zip(&dispatch.types[dispatch.reads.len()..]);
    let added_to: usize = written.filter(|((_, store), _)| *store == Store::Add).map(|(_, kind)| kind.columns).sum();
    let row_of_table = if let Op::Embedding(op) = &dispatch.op { op.width } else { 0 };
    Some((operands + added_to + row_of_table) * size_of::<f32>())
}
