//! The same training in PyTorch + PEFT: a Python process that answers with seconds.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result};

use crate::{machine, workload};

/// A running `peft.py`.
pub struct Peer {
    process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    /// Versions and settings.
    pub about: String,
}

impl Peer {
    /// Starts the script.
    ///
    /// # Errors
    /// Says why this Python can't take part.
    pub fn start(python: &Path) -> Result<Peer, String> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/peft.py");
        let mut process = Command::new(python)
            // The libraries warn of one another's deprecations.
            .args(["-W", "ignore", script])
            .arg(workload::base_path())
            .arg(machine::threads().to_string())
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
        writeln!(self.input, "{runs} {steps}")?;
        let answer = self.output.next().context("peft.py ended in the middle of the benchmark")??;
        answer.parse().with_context(|| format!("peft.py answered {answer:?} where seconds were asked for"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Nothing is left to save; if it can't be ended it has ended.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
