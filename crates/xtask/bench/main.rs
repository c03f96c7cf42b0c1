//! Measures training on the *tiny* base: time per op, on the CPU beside PyTorch + PEFT, on a GPU beside what it does at most. Prints Markdown.
//!
//! Whatever is compared is measured in turns within one run, so that a machine's other work hits all alike; a figure is the median of the
//! turns, with the least and the greatest beside it.

mod diagnostics;
mod gpu;
mod machine;
mod ops;
mod peer;
mod spread;
mod starts;
mod throughput;
mod workload;

use std::{cell::RefCell, path::PathBuf};

use anyhow::Result;
use clap::Parser;
use loralab_core::{
    device::{
        Machine,
        webgpu::{Checks, Tiling, Wanted},
    },
    graph::shader::Tiles,
};

use peer::Peer;
use workload::Workload;

/// Runs of the sweep on the CPU.
const RUNS: usize = 16;

/// Measures training on the tiny base.
#[derive(Parser)]
struct Arguments {
    /// The Python to look for torch and peft in.
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Measure a GPU instead: one whose name holds these words, or `any`.
    #[arg(long, value_name = "NAME")]
    gpu: Option<String>,
    /// On the GPU, leave out the checks of indices.
    #[arg(long, requires = "gpu")]
    unchecked: bool,
    /// On the GPU, how products are cut: 64x64, 128x64, 128x128, or timed; as in a sweep where nothing is said.
    #[arg(long, requires = "gpu")]
    tiles: Option<String>,
    /// On the GPU, runs of the cohort.
    #[arg(long, value_name = "K", default_value_t = 1, requires = "gpu")]
    runs: usize,
    /// Measure starts instead: of a square layer of this width.
    #[arg(long, value_name = "WIDTH")]
    starts: Option<usize>,
    /// Cargo says this to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let Arguments { python, gpu, unchecked, tiles, runs, starts, bench: _ } = Arguments::parse();
    let gpu = gpu.map(|name| {
        let wanted = if name == "any" { Wanted::Any } else { Wanted::Named(name) };
        (wanted, if unchecked { Checks::Off } else { Checks::On })
    });
    let tiling = match tiles.as_deref() {
        None => None,
        Some("timed") => Some(Tiling::Timed(Tiles::default())),
        Some(tile) => Some(Tiling::Given(Tiles::all(tile.parse()?))),
    };
    print!("# `cargo xtask bench`\n\n{}", machine::lines());
    if let Some(width) = starts {
        let machine = match &gpu {
            Some((wanted, checks)) => Machine::Gpu(gpu::open(wanted, *checks, tiling)?),
            None => Machine::Cpu(None),
        };
        return starts::print(width, &python, &machine);
    }
    let workload = Workload::new()?;
    println!("{workload}\n");
    if let Some((wanted, checks)) = gpu {
        return gpu::print(&workload, &wanted, checks, tiling, runs, &python);
    }
    ops::print(&workload)?;
    println!("## Tokens per second, all {} threads\n", machine::threads());
    let peer = Peer::start(&python, "cpu", RUNS).map(RefCell::new);
    throughput::print(&workload, &peer, RUNS, None)?;
    diagnostics::print(&workload)
}
