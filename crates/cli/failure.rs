//! Exit codes of the command: 0 done, 1 failed, 2 asked for something that cannot be, 130 stopped by Ctrl-C or a signal.

use std::{fmt, io, process::ExitCode};

use anyhow::Error;

use crate::{interrupt::STOPPED, terminal::is_closed};

/// What was asked for cannot be done as it was written: a flag, a setting, an existing folder.
#[derive(Debug)]
struct Usage(String);

/// The work was asked to end early; what was done until then is written, and said.
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
    if error.downcast_ref::<io::Error>().is_some_and(is_closed) {
        return ExitCode::SUCCESS;
    }
    if error.is::<Stopped>() {
        return ExitCode::from(STOPPED);
    }
    crate::terminal::note(format_args!("error: {}", sentence(&error)));
    ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
}

/// The error and its causes, those left out that are part of what was said before.
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
