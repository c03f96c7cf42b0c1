//! Time per op of a training step on a GPU, by the GPU's own clock, and what the device can do at most.

use loralab_core::graph::memory::InputName;
use std::{
    alloc::System,
    cell::RefCell,
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use loralab_core::{
    device::{
        Device, Gpu, Inputs, RunSettings, wait,
        webgpu::{Accelerator, Checks, Options, Profile, Tiling, Wanted, adapters},
    },
    graph::{
        memory::{Data, Group, Tensor, Weight},
        plan::{Optimizer, Plan, Shape},
        shader::{Tile, Tiles},
        tape::{Purpose, Tape},
    },
    lab::train::start,
};
use loralab_data::Sampler;
use loralab_linalg::Stream;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use crate::{
    ops::{Kernel, bytes_per_row, name},
    peer::Peer,
    spread::Spread,
    throughput,
    workload::{self, Workload},
};

const REPETITIONS: usize = 11;
const WARM_UP: Duration = Duration::from_millis(300);
/// Steps that the host puts into one command buffer to be timed.
const ENCODED: usize = 20;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The highest rates of a GPU, per second, measured with large kernels: operations of a matrix product, and bytes of a pass over memory.
struct Peak {
    flops: f64,
    bytes: f64,
}

/// A pass over `weight`, n × n, and a matrix product of what it leaves with `weight`.
fn peak(accelerator: &Arc<Accelerator>, tile: Tile, n: usize, weight: &[f32]) -> Result<Peak> {
    let base: Arc<[Tensor]> =
        Arc::from([Tensor { name: "w".to_owned(), shape: [n, n], data: Data::F32(weight.to_vec().into()) }]);
    let mut tape = Tape::new(Shape { runs: 1, sequences: 1, tokens: n }, false);
    let gain = tape.parameter("gain", [1, n], Group::Gain);
    let x = tape.features(n);
    let y = tape.relu(x);
    let y = tape.linear(y, Weight::Frozen(0), None, n);
    let y = tape.rms_norm(y, Weight::Trained(gain), 1e-5);
    tape.mse(y);
    let plan = Arc::new(tape.compile(Purpose::Train(Optimizer::SignSgd)));
    let mut device = wait(Gpu::new(accelerator.clone(), plan.clone(), base))?;
    device.load(0, &vec![1.0; n], &[], RunSettings::PLAIN);
    let weights = vec![1.0 / n as f32; n];
    let input = Inputs::new()
        .with(InputName::Weights, &weights)
        .with(InputName::Features, weight)
        .with(InputName::Expected, weight);
    let mut step = || wait(device.seconds(&[input], &[0.0]))?.context("this GPU has no timestamps");
    // A GPU that had nothing to do has slowed its clock, and takes its time to quicken it.
    let began = Instant::now();
    while began.elapsed() < WARM_UP {
        step()?;
    }
    let (mut product, mut pass) = (Vec::new(), Vec::new());
    for _ in 0..REPETITIONS {
        for (dispatch, seconds) in plan.forward.iter().zip(step()?) {
            match dispatch.op.name() {
                "linear" => product.push(seconds),
                "relu" => pass.push(seconds),
                _ => {}
            }
        }
    }
    let (product, pass) = (Spread::of(product), Spread::of(pass));
    let (flops, bytes) = ((2 * n * n * n) as f64 / product.median, (8 * n * n) as f64 / pass.median);
    let (gflops, gbytes) = (flops / 1e9, bytes / 1e9);
    println!("| {n} | {tile} | {:.1} | {gflops:.1} | {:.1} | {gbytes:.1} |", product.scaled(1e6), pass.scaled(1e6));
    Ok(Peak { flops, bytes })
}

/// Opens the GPU that is meant; its products are cut as a sweep's are where nothing else is said.
pub fn open(wanted: &Wanted, checks: Checks, tiling: Option<Tiling>) -> Result<Arc<Accelerator>> {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    let found = wanted.choose(wait(adapters()))?;
    let options = Options {
        profile: Profile::Native,
        checks,
        clock: || START.elapsed().as_secs_f64(),
        tiling: tiling.unwrap_or(Tiling::Given(found.tiles())),
        building: |_, _| {},
    };
    let opened = wait(Accelerator::open(found, options))?;
    Ok(Arc::new(opened))
}

/// The most that products and passes of these sizes reach, in any tile; prints each.
fn peaks(wanted: &Wanted, checks: Checks, sizes: &[usize]) -> Result<Peak> {
    let mut most = Peak { flops: 0.0, bytes: 0.0 };
    let in_tile = |tile| Ok((tile, open(wanted, checks, Some(Tiling::Given(Tiles::all(tile))))?));
    let in_tiles: Vec<(Tile, Arc<Accelerator>)> = Tile::ALL.into_iter().map(in_tile).collect::<Result<_>>()?;
    for &n in sizes {
        // Some hardware is faster on zeros.
        let mut weight = vec![0.0; n * n];
        Stream::new(0, "peak").normal(1.0 / (n as f32).sqrt(), &mut weight);
        for (tile, accelerator) in &in_tiles {
            let peak = peak(accelerator, *tile, n, &weight)?;
            most = Peak { flops: most.flops.max(peak.flops), bytes: most.bytes.max(peak.bytes) };
        }
    }
    ensure!(most.flops > 0.0 && most.bytes > 0.0, "the GPU's clock stands still");
    Ok(most)
}

/// Prints the time of PyTorch's products of these sizes.
fn print_products(peer: &RefCell<Peer>, sizes: &[usize]) -> Result<()> {
    println!("\n| n | PyTorch's product in f32, µs | GFLOP/s |\n|---:|---:|---:|");
    for n in sizes {
        let product = || peer.borrow_mut().ask(&format!("product {n}"));
        let seconds = Spread::of((0..REPETITIONS).map(|_| product()).collect::<Result<_>>()?);
        println!("| {n} | {:.1} | {:.1} |", seconds.scaled(1e6), (2 * n * n * n) as f64 / seconds.median / 1e9);
    }
    Ok(())
}

/// The times of some training steps, in seconds.
struct Timed {
    kernels: BTreeMap<[&'static str; 2], Kernel>,
    updates: Vec<f64>,
    steps: Vec<f64>,
    /// Allocations of the host in handing over a step.
    handed: usize,
}

impl Timed {
    /// Trains [`REPETITIONS`] steps after one that compiles and fills caches.
    fn of(workload: &Workload, plan: &Plan, device: &mut Gpu) -> Result<Timed> {
        let shape = plan.shape;
        let runs = workload::runs(shape.runs)?;
        for (index, run) in runs.iter().enumerate() {
            device.load(index, start(plan, &[], run)?.trained(), &[], run.settings);
        }
        let mut sampler = Sampler::new(&workload.text, 0, shape.sequences, shape.tokens)?;
        let rates: Vec<f64> = runs.iter().map(|run| run.learning_rate).collect();
        let mut timed = Timed { kernels: BTreeMap::new(), updates: vec![], steps: vec![], handed: 0 };
        let rows = shape.rows_per_run() * shape.runs;
        for dispatch in plan.forward.iter().chain(&plan.backward) {
            let kernel = timed.kernels.entry(name(dispatch)).or_default();
            kernel.calls += 1;
            kernel.flops += dispatch.op.flops_per_row(dispatch.pass) * rows;
            kernel.bytes = bytes_per_row(dispatch).map(|bytes| kernel.bytes.unwrap_or(0) + bytes * rows);
        }
        for step in 0..=REPETITIONS {
            let batch = sampler.batch(step as u64);
            let inputs = vec![Inputs::from(&batch); runs.len()];
            let started = Instant::now();
            let region = Region::new(ALLOCATOR);
            device.step(&inputs, &rates);
            timed.handed = region.change().allocations;
            wait(device.reports())?;
            let whole = started.elapsed().as_secs_f64();
            let seconds = wait(device.seconds(&inputs, &rates))?;
            let seconds = seconds.context("this GPU has no timestamps, so no op can be timed by itself")?;
            if step == 0 {
                continue;
            }
            timed.steps.push(whole);
            timed.kernels.values_mut().for_each(|kernel| kernel.seconds.push(0.0));
            for (dispatch, seconds) in plan.forward.iter().chain(&plan.backward).zip(&seconds) {
                if let Some(last) = timed.kernels.get_mut(&name(dispatch)).and_then(|kernel| kernel.seconds.last_mut())
                {
                    *last += seconds;
                }
            }
            timed.updates.extend(seconds.last());
        }
        Ok(timed)
    }

    /// Prints a line for each kernel, beside the device's peak and the whole step.
    fn print(self, most: &Peak, whole: &Spread) {
        println!("| kernel | calls a step | µs a call | GFLOP/s | GB/s | of the peak | share of the step |");
        println!("|---|---:|---:|---:|---:|---:|---:|");
        let spread = |(name, kernel): ([&'static str; 2], Kernel)| {
            (name, kernel.calls, kernel.flops, kernel.bytes, Spread::of(kernel.seconds))
        };
        let mut table: Vec<_> = self.kernels.into_iter().map(spread).collect();
        table.sort_by(|one, other| other.4.median.total_cmp(&one.4.median));
        for (name, calls, flops, bytes, seconds) in &table {
            let per_call = seconds.scaled(1e6 / *calls as f64);
            let rate = |amount: usize| format!("{:.1}", amount as f64 / seconds.median / 1e9);
            let (flops, bytes, amount, peak) = match bytes {
                Some(bytes) => (String::new(), rate(*bytes), *bytes, most.bytes),
                None => (rate(*flops), String::new(), *flops, most.flops),
            };
            let of_peak = 100.0 * amount as f64 / seconds.median / peak;
            let share = 100.0 * seconds.median / whole.median;
            let name = name.join("/");
            println!("| {name} | {calls} | {per_call:.1} | {flops} | {bytes} | {of_peak:.0} % | {share:.1} % |");
        }
        let updates = Spread::of(self.updates);
        println!(
            "| finite, clip, adamw | 1 | {:.1} | | | | {:.1} % |",
            updates.scaled(1e6),
            100.0 * updates.median / whole.median
        );
    }
}

/// Prints the table of a cohort of `runs`.
pub fn print(
    workload: &Workload,
    wanted: &Wanted,
    checks: Checks,
    tiling: Option<Tiling>,
    runs: usize,
    python: &Path,
) -> Result<()> {
    let accelerator = &open(wanted, checks, tiling)?;
    let found = accelerator.found();
    println!("## {} ({}, {}, driver {})\n", found.name, found.kind, found.backend, found.driver);
    println!("Checks of indices: {checks:?}. A matrix product n × n by n × n in f32, and a pass over n × n numbers:\n");
    println!("| n | tile | product, µs | GFLOP/s | pass, µs | GB/s |");
    println!("|---:|---|---:|---:|---:|---:|");
    let sizes: &[usize] = if found.software { &[256, 512] } else { &[1024, 2048, 4096] };
    let most = peaks(wanted, checks, sizes)?;
    // Before anything of ours is left on the GPU.
    let peer = (!found.software).then(|| Peer::start(python, "cuda", runs).map(RefCell::new));
    if let Some(Ok(peer)) = &peer {
        print_products(peer, sizes)?;
    }
    println!("\n## Time per op\n");
    let plan = Arc::new(workload.plan(runs));
    let mut device = wait(Gpu::new(accelerator.clone(), plan.clone(), workload.base.tensors.clone()))?;
    let timed = Timed::of(workload, &plan, &mut device)?;
    let (whole, handed) = (Spread::of(timed.steps.clone()), timed.handed);
    println!(
        "A cohort of {runs}; median (least–greatest) of {REPETITIONS} steps. The peak is the best of the table above.\n"
    );
    timed.print(&most, &whole);
    let rate = plan.flops() as f64 / whole.median / 1e9;
    println!("| **the whole step** | 1 | {:.1} | {rate:.1} | | | 100 % |\n", whole.scaled(1e6));
    let host = Spread::of((0..REPETITIONS).map(|_| device.host_seconds(ENCODED)).collect());
    let region = Region::new(ALLOCATOR);
    device.host_seconds(ENCODED);
    let allocations = region.change().allocations as f64 / ENCODED as f64;
    println!(
        "Replaying costs the host {:.2} µs a dispatch. Handing a step over makes {handed} allocations; putting it into a command buffer {allocations:.1}, \
         all of the graphics library's.\n",
        host.scaled(1e6)
    );
    let tiles = accelerator.tiles();
    if tiles.picked().next().is_some() {
        println!("Tiles that were timed:\n\n| product | tile |\n|---|---|");
        tiles.picked().for_each(|(product, tile)| println!("| {product} | {tile} |"));
    }
    let Some(peer) = peer else { return Ok(()) };
    println!("\n## Tokens per second\n");
    throughput::print(workload, &peer, runs, Some(accelerator))
}
