//! Measures the CPU device on the *tiny* base: time per op, and tokens per second beside PyTorch + PEFT. Prints Markdown.
//!
//! Whatever is compared is measured in turns within one run, so that a machine's other work hits all alike; a figure is the median of the
//! turns, with the least and the greatest beside it.

mod machine;
mod ops;
mod peer;
mod spread;
mod throughput;
mod workload;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

use workload::Workload;

/// Measures the CPU device on the tiny base.
#[derive(Parser)]
struct Arguments {
    /// The Python to look for torch and peft in.
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Cargo says this to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let Arguments { python, bench: _ } = Arguments::parse();
    let workload = Workload::new()?;
    machine::print();
    println!("{workload}\n");
    ops::print(&workload)?;
    throughput::print(&workload, &python)
}
