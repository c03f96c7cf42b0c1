//! `cargo xtask`: what a person types to set up, test and measure loralab.

use std::{
    env,
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const BENCH: [&str; 8] = ["bench", "--quiet", "--locked", "--package", "xtask", "--bench", "tiny", "--"];
const WASM: &str = "wasm32-unknown-unknown";

/// Sets up, tests and measures loralab.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Installs what development needs and is not there yet: rustfmt, clippy, the wasm32 target.
    Setup,
    /// Runs every test, after checking that the libraries build for the browser.
    Test,
    /// Measures the CPU device: time per op, and tokens per second beside PyTorch + PEFT where Python has them.
    Bench {
        /// The Python to look for torch and peft in.
        #[arg(long, default_value = "python3", value_name = "PATH")]
        python: String,
        /// Measure a GPU instead, kernel by kernel: one whose name holds these words, or `any`.
        #[arg(long, value_name = "NAME", conflicts_with = "python")]
        gpu: Option<String>,
        /// On the GPU, leave out the checks of indices and loops.
        #[arg(long, requires = "gpu")]
        unchecked: bool,
        /// On the GPU, runs of the cohort.
        #[arg(long, value_name = "K", default_value_t = 1, requires = "gpu")]
        runs: usize,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Setup => setup().map(|()| ExitCode::SUCCESS),
        Task::Test => test(),
        Task::Bench { gpu: Some(name), unchecked, runs, .. } => bench_gpu(&name, unchecked, runs),
        Task::Bench { python, .. } => bench(&python),
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
    provide(WASM, wasm_target_is_there, &["target", "add", WASM])?;
    println!("ready: `cargo xtask test` runs the tests, `cargo run --release -- sweep` a sweep");
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
    provide(WASM, wasm_target_is_there, &["target", "add", WASM])?;
    let libraries = ["check", "--package", "loralab-core", "--package", "loralab-figure", "--target", WASM, "--locked"];
    for (what, arguments) in
        [("libraries for the browser", &libraries[..]), ("tests", &["test", "--workspace", "--locked"])]
    {
        println!("== {what}: cargo {} ({} s)", arguments.join(" "), started.elapsed().as_secs());
        let code = run(cargo().args(arguments))?;
        if code != ExitCode::SUCCESS {
            println!("== {what}: FAILED ({} s)", started.elapsed().as_secs());
            return Ok(code);
        }
    }
    println!("== everything passed ({} s)", started.elapsed().as_secs());
    Ok(ExitCode::SUCCESS)
}

fn bench(python: &str) -> Result<ExitCode> {
    // A bare name is looked up in PATH; anything else is relative to where the person is, and cargo changes the directory.
    let python = if python.contains(std::path::is_separator) {
        std::path::absolute(python).with_context(|| format!("`--python {python}` is no path"))?
    } else {
        python.into()
    };
    run(cargo().args(BENCH).arg("--python").arg(python))
}

fn bench_gpu(name: &str, unchecked: bool, runs: usize) -> Result<ExitCode> {
    let checks: &[&str] = if unchecked { &["--unchecked"] } else { &[] };
    run(cargo().args(BENCH).args(["--gpu", name, "--runs", &runs.to_string()]).args(checks))
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
