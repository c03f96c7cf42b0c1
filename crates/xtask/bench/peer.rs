//! The same training in PyTorch + PEFT: a Python process that answers with seconds.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result};

use crate::{machine, workload};

/// A running script.
pub struct Peer {
    process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    /// Versions and settings.
    pub about: String,
}

impl Peer {
    /// Starts the script, to train as many as `runs` on `device`: `cpu` or `cuda`.
    ///
    /// # Errors
    /// Says why this Python can't take part.
    pub fn start(python: &Path, device: &str, runs: usize) -> Result<Peer, String> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/peft.py");
        let (base, threads) = (workload::base_path().display().to_string(), machine::threads().to_string());
        Self::run(python, script, &[base, threads, device.to_owned(), runs.to_string()])
    }

    /// Starts `peft_starts.py`, for a square layer on `device`: `cpu` or `cuda`.
    ///
    /// # Errors
    /// Says why this Python can't take part.
    pub fn starts(python: &Path, device: &str, width: usize, rank: usize) -> Result<Peer, String> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/peft_starts.py");
        let sizes = [width, rank, machine::threads()].map(|number| number.to_string());
        Self::run(python, script, &[&[device.to_owned()], &sizes[..]].concat())
    }

    fn run(python: &Path, script: &str, arguments: &[String]) -> Result<Peer, String> {
        let mut process = Command::new(python)
            // The libraries warn of one another's deprecations.
            .args(["-W", "ignore", script])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("`{}` can't be run: {error}", python.display()))?;
        let input = process.stdin.take().expect("the input was asked to be a pipe");
        let output = process.stdout.take().expect("the output was asked to be a pipe");
        let mut output = BufReader::new(output).lines();
        let said = output.next().and_then(Result::ok).unwrap_or_else(|| "it ended without a word".to_owned());
        match said.strip_prefix("ready: ") {
            Some(about) => Ok(Peer { process, input, output, about: about.to_owned() }),
            None => {
                // It has said why it ends, and holds nothing that would keep it.
                process.wait().ok();
                Err(said)
            }
        }
    }

    /// Seconds of `steps` steps of each of `runs` runs, one run after the other.
    pub fn seconds(&mut self, runs: usize, steps: usize) -> Result<f64> {
        self.ask(&format!("{runs} {steps}"))
    }

    /// The seconds that are answered to a line.
    pub fn ask(&mut self, line: &str) -> Result<f64> {
        writeln!(self.input, "{line}")?;
        let answer = self.output.next().context("PEFT's script ended in the middle of the benchmark")??;
        answer.parse().with_context(|| format!("PEFT's script answered {answer:?} where seconds were asked for"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Nothing is left to save; if it can't be ended it has ended.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
