//! `cargo xtask`: what a person types to set up, test and measure loralab, and to see its page.

mod bench_page;
mod bench_web;
#[path = "../bench/machine.rs"]
mod machine;
mod npm;
mod screenshots;
mod sizes;
mod system;
mod web;

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const BENCH: [&str; 8] = ["bench", "--quiet", "--locked", "--package", "xtask", "--bench", "tiny", "--"];
const WASM: &str = "wasm32-unknown-unknown";

/// Sets up, tests and measures loralab, and serves its page.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Installs what development needs and is not there yet: rustfmt, clippy, the wasm32 target, the tools that build the page, and what the tests need of the
    /// system (a Chromium, npm, a Vulkan driver), the last by root or with sudo.
    Setup,
    /// Installs what the tests need, as `setup` does, builds the page, then runs every test.
    Test,
    /// Builds the page and serves it, after compiling the tools for that if they are not there yet (some minutes, once).
    Web {
        /// Build `dist/`, for any static host, instead; where npm is, with wasm-opt from its registry. With `--port`, serve that afterwards.
        #[arg(long)]
        release: bool,
        /// Serve it at http://127.0.0.1:PORT/ [default: 8080].
        #[arg(long)]
        port: Option<u16>,
    },
    /// Takes the pictures of the page in `web/`: the built page in a headless Chromium, after a training.
    Screenshots,
    /// Measures the CPU device: time per op, and tokens per second beside PyTorch + PEFT where Python has them.
    #[command(args_conflicts_with_subcommands = true)]
    Bench {
        #[command(subcommand)]
        other: Option<Bench>,
        #[command(flatten)]
        measured: Measured,
    },
}

/// Options for measuring trainings.
#[derive(Args)]
struct Measured {
    /// The Python to look for torch and peft in.
    #[arg(long, default_value = "python3", value_name = "PATH")]
    python: String,
    /// Measure a GPU instead, kernel by kernel: one whose name holds these words, or `any`.
    #[arg(long, value_name = "NAME")]
    gpu: Option<String>,
    /// On the GPU, leave out the checks of indices.
    #[arg(long, requires = "gpu")]
    unchecked: bool,
    /// On the GPU, how products are cut: 64x64, 128x64, 128x128, or timed; as in a sweep where nothing is said.
    #[arg(long, value_name = "TILE", requires = "gpu")]
    tiles: Option<String>,
    /// On the GPU, runs of the cohort.
    #[arg(long, value_name = "K", default_value_t = 1, requires = "gpu")]
    runs: usize,
    /// Measure how long starts take instead, for a square layer of this width, beside PEFT's where Python has it.
    #[arg(long, value_name = "WIDTH")]
    starts: Option<usize>,
}

#[derive(Subcommand)]
enum Bench {
    /// Measures how soon the built page trains, and its longest tasks, in a headless Chromium; writes crates/worker/docs/bench-page.md.
    Page,
    /// Measures a step of four LoRA layers in a headless Chromium beside jax-js and TF.js, and writes crates/worker/docs/bench-web.md. Takes some minutes.
    Web {
        /// Steps of each side that count.
        #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Setup => setup().map(|()| ExitCode::SUCCESS),
        Task::Test => test(),
        Task::Web { release: true, port } => web::release(port),
        Task::Web { port, .. } => web::serve(port.unwrap_or(web::PORT)),
        Task::Screenshots => screenshots::take(),
        Task::Bench { other: Some(Bench::Page), .. } => bench_page::measure(),
        Task::Bench { other: Some(Bench::Web { rounds }), .. } => bench_web::measure(rounds),
        Task::Bench { measured, .. } => bench(&measured),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn setup() -> Result<()> {
    for (tool, subcommand) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        provide(tool, || succeeds(cargo().args([subcommand, "--version"])), &["component", "add", tool])?;
    }
    system::provide()?;
    web::provide_tools()?;
    npm::provide(npm::PAGE)?;
    println!(
        "ready: `cargo xtask test` runs the tests, `cargo run --release -- sweep` a sweep, `cargo xtask web` the page"
    );
    Ok(())
}

/// Has rustup fetch a part of the toolchain, unless it `is_there`.
fn provide(part: &str, is_there: impl Fn() -> bool, rustup: &[&str]) -> Result<()> {
    if is_there() {
        println!("{part}: there");
        return Ok(());
    }
    let typed = format!("rustup {}", rustup.join(" "));
    println!("{part}: missing; running `{typed}`, which may take minutes");
    let status = Command::new("rustup").args(rustup).current_dir(ROOT).status().with_context(|| {
        format!("{part} is missing and rustup can't be run to fetch it; install {part} the way this Rust was installed")
    })?;
    if !status.success() || !is_there() {
        bail!("`{typed}` did not bring {part}; see its message above, then run `cargo xtask setup` again");
    }
    Ok(())
}

fn wasm_target_is_there() -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", "target-libdir", "--target", WASM]).current_dir(ROOT).output();
    output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}

fn test() -> Result<ExitCode> {
    let started = Instant::now();
    system::provide()?;
    npm::provide(npm::PAGE)?;
    let tests = || {
        let mut tests = cargo();
        tests
            .args(["test", "--workspace", "--locked"])
            .envs(system::chromium().map(|program| (system::NAMED, program)));
        run(&mut tests)
    };
    // The page first: some tests look at what was built.
    for (what, stage) in [("the page", &web::build as &dyn Fn() -> Result<ExitCode>), ("tests", &tests)] {
        println!("== {what} ({} s)", started.elapsed().as_secs());
        let code = stage()?;
        if code != ExitCode::SUCCESS {
            println!("== {what}: FAILED ({} s)", started.elapsed().as_secs());
            return Ok(code);
        }
    }
    println!("== everything passed ({} s)", started.elapsed().as_secs());
    Ok(ExitCode::SUCCESS)
}

/// A bare name is looked up in PATH; anything else is relative to where the person is, and cargo changes the directory.
fn found(python: &str) -> Result<PathBuf> {
    if !python.contains(std::path::is_separator) {
        return Ok(python.into());
    }
    std::path::absolute(python).with_context(|| format!("`--python {python}` is no path"))
}

fn bench(measured: &Measured) -> Result<ExitCode> {
    let Measured { python, gpu, unchecked, tiles, runs, starts } = measured;
    let mut command = cargo();
    command.args(BENCH).arg("--python").arg(found(python)?);
    if let Some(gpu) = gpu {
        command.args(["--gpu", gpu, "--runs", &runs.to_string()]);
    }
    if *unchecked {
        command.arg("--unchecked");
    }
    if let Some(tiles) = tiles {
        command.args(["--tiles", tiles]);
    }
    if let Some(width) = starts {
        command.args(["--starts", &width.to_string()]);
    }
    run(&mut command)
}

fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(ROOT);
    command
}

fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Runs a command in the foreground and gives back its exit code.
fn run(command: &mut Command) -> Result<ExitCode> {
    let status = command.status().with_context(|| format!("{} can't be run", command.get_program().display()))?;
    // Without a code it was ended by a signal.
    Ok(status.code().map_or(ExitCode::FAILURE, |code| ExitCode::from(u8::try_from(code).unwrap_or(1))))
}
