//! Exit codes of the command: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C or a signal.

use std::{fmt, io, process::ExitCode};

use anyhow::Error;

use crate::{interrupt::STOPPED, terminal::is_closed};

/// A usage error: a flag, a setting or an existing folder makes the command impossible.
#[derive(Debug)]
struct Usage(String);

/// The work was stopped early; its results so far are written and reported.
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
    if error.is::<Stopped>() {
        return ExitCode::from(STOPPED);
    }
    crate::terminal::note(format_args!("error: {}", sentence(&error)));
    ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
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
