//! Words for a person: results on stdout, everything else on stderr.

use std::{
    fmt,
    io::{self, Write},
};

/// A line on stdout.
///
/// # Errors
/// If stdout is closed or cannot be written.
pub fn print(text: impl fmt::Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let printed = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    printed.map_err(|error| io::Error::new(error.kind(), format!("stdout cannot be written: {error}")))
}

/// Lines on stdout for whoever follows the work there. If they are not read to the end, the work goes on.
#[derive(Debug, Default)]
pub struct Stream {
    failure: Option<io::Error>,
}

impl Stream {
    /// A line on stdout. When that fails for the first time, `instead` says on stderr where that line and those after it are.
    pub fn line(&mut self, line: &str, instead: impl fmt::Display) {
        if self.failure.is_some() {
            return;
        }
        if let Err(error) = print(line) {
            let what = if is_closed(&error) { "stdout is closed".to_owned() } else { error.to_string() };
            note(format_args!("The work goes on, but {what}; {instead}."));
            self.failure = Some(error);
        }
    }

    /// Nothing more is to be printed.
    ///
    /// # Errors
    /// If lines were lost, and not because their reader had read enough.
    pub fn end(self) -> io::Result<()> {
        self.failure.filter(|error| !is_closed(error)).map_or(Ok(()), Err)
    }
}

/// True if whoever read stdout has read enough, as `head` has.
pub fn is_closed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// A line on stderr. If nobody listens there, there is nobody to tell.
pub fn note(text: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
