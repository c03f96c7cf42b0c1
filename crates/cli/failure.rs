//! How the command ends: 0 done, 1 failed, 2 asked for something that cannot be, 130 stopped by Ctrl-C.

use std::{fmt, io, process::ExitCode};

use anyhow::Error;

/// What was asked for cannot be done as it was written: a flag, a setting, an existing folder.
#[derive(Debug)]
struct Usage(String);

/// Ctrl-C ended the work early; what was done until then is written.
#[derive(Debug)]
pub struct Stopped;

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

/// An error that the one who typed the command can mend by typing another.
pub fn usage(sentence: impl fmt::Display) -> Error {
    Usage(sentence.to_string()).into()
}

/// Says what went wrong on stderr, and which exit code that is.
pub fn exit_code(outcome: anyhow::Result<()>) -> ExitCode {
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    // Whoever closes the pipe, as `head` does, has read enough.
    if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    if error.is::<Stopped>() {
        return ExitCode::from(130);
    }
    crate::terminal::note(format_args!("error: {error:#}"));
    ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
}
