//! Terminal output: results on stdout, all else on stderr.

use std::{
    fmt,
    io::{self, Write},
};

/// Prints a line on stdout.
///
/// # Errors
/// If stdout is closed or cannot be written.
pub fn print(text: impl fmt::Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let printed = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    printed.map_err(|error| io::Error::new(error.kind(), format!("stdout cannot be written: {error}")))
}

/// Lines on stdout for a reader during the work. If the reader stops, the work continues.
#[derive(Debug, Default)]
pub struct Stream {
    failure: Option<io::Error>,
}

impl Stream {
    /// Prints a line on stdout. At the first failure, prints on stderr `instead`, the place that has this line and the later ones.
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

    /// Ends the stream.
    ///
    /// # Errors
    /// If lines were lost for another reason than a closed pipe.
    pub fn end(self) -> io::Result<()> {
        self.failure.filter(|error| !is_closed(error)).map_or(Ok(()), Err)
    }
}

/// True if the reader of stdout has closed it, as `head` does.
pub fn is_closed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// Prints a line on stderr; ignores a failure, since there is no other place to report it.
pub fn note(text: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A text quoted as one word of a shell.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
