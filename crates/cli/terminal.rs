//! Words for a person: results on stdout, everything else on stderr.

use std::{
    fmt,
    io::{self, Write},
};

/// A line on stdout.
///
/// # Errors
/// If stdout is closed.
pub fn print(text: impl fmt::Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// A line on stderr. If nobody listens there, there is nobody to tell.
pub fn note(text: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
