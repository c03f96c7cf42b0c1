//! Exit codes of the command: 0 done, 1 failed, 2 wrong usage, 75 failed by the machine (a lost GPU, a full disk), so that another try may succeed, 130 stopped by
//! Ctrl-C or a signal, 143 stopped by SIGTERM with the state saved.

use std::{fmt, io, process::ExitCode};

use anyhow::Error;
use loralab_core::{
    device::{DeviceError, webgpu::GpuError},
    lab::SweepError,
};

use crate::{durable::is_full, interrupt::STOPPED, terminal::is_closed};

/// The exit code of a failure that may pass, as in `sysexits.h`.
const RETRY: u8 = 75;
/// The exit code of a process that was preempted, with its state saved.
const PREEMPTED: u8 = 143;

/// A usage error: a flag, a setting or an existing folder makes the command impossible.
#[derive(Debug)]
struct Usage(String);

/// The work was stopped early; its results so far are written and reported.
#[derive(Debug)]
pub struct Stopped {
    /// True if the state is saved, and the process was asked to end by SIGTERM, as schedulers ask that preempt a job.
    pub preempted: bool,
}

impl Stopped {
    /// A stop that was asked for like this.
    pub fn by(signal: &str, saved: bool) -> Self {
        Self { preempted: saved && signal == "SIGTERM" }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped before the end")
    }
}

impl std::error::Error for Usage {}
impl std::error::Error for Stopped {}

/// A usage error, which another command line avoids; its exit code is 2.
pub fn usage(sentence: impl fmt::Display) -> Error {
    Usage(sentence.to_string()).into()
}

/// Prints an error on stderr, and returns the exit code.
pub fn exit_code(outcome: anyhow::Result<()>) -> ExitCode {
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    if error.downcast_ref::<io::Error>().is_some_and(is_closed) {
        return ExitCode::SUCCESS;
    }
    if let Some(stopped) = error.downcast_ref::<Stopped>() {
        return ExitCode::from(if stopped.preempted { PREEMPTED } else { STOPPED });
    }
    crate::terminal::note(format_args!("error: {}", sentence(&error)));
    ExitCode::from(match () {
        () if error.is::<Usage>() => 2,
        () if may_pass(&error) => RETRY,
        () => 1,
    })
}

/// True for a failure of the machine: a lost GPU, a full disk.
fn may_pass(error: &Error) -> bool {
    let lost = |cause: &(dyn std::error::Error + 'static)| {
        let of_gpu = cause.downcast_ref::<GpuError>();
        let of_device = || cause.downcast_ref().map(|DeviceError::Gpu(error)| error);
        let of_sweep = || match cause.downcast_ref() {
            Some(SweepError::Device(DeviceError::Gpu(error))) => Some(error),
            _ => None,
        };
        matches!(of_gpu.or_else(of_device).or_else(of_sweep), Some(GpuError::Lost { .. }))
    };
    is_full(error) || error.chain().any(lost)
}

/// The error and its causes, without those whose text is already contained.
fn sentence(error: &Error) -> String {
    let mut said = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !said.contains(&cause) {
            said = format!("{said}: {cause}");
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn nothing_is_said_twice() {
        let cause = || io::Error::other("it is short");
        assert_eq!(
            sentence(&Error::new(cause()).context("a.txt: it is short, copy it again")),
            "a.txt: it is short, copy it again"
        );
        let of_file: anyhow::Result<()> = Err(cause()).context("a.txt can't be read");
        assert_eq!(of_file.map_err(|error| sentence(&error)), Err("a.txt can't be read: it is short".to_owned()));
    }
}
