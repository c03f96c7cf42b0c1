//! A file of lines that grows while it is read, and may be cut and written on, or be replaced by a longer one.

use std::{
    fs::File,
    io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom},
    path::Path,
};

use anyhow::{Context, Result, bail};
use loralab_experiment::Bytes;

use crate::log::LONGEST_LINE;

/// Bytes of the last line that a file must still have there, for the rest of it to be read on.
const REMEMBERED: usize = 1024;

/// The part of a file that is read.
#[derive(Debug, Default)]
pub struct Tail {
    /// Bytes of whole lines.
    offset: u64,
    lines: u64,
    /// The end of the last line.
    last: Vec<u8>,
}

impl Tail {
    /// True if the file still has the last line that was read at its place; a file that was cut or replaced by another has not.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn fits(&self, file: &mut File) -> std::io::Result<bool> {
        let mut found = vec![0; self.last.len()];
        file.seek(SeekFrom::Start(self.offset - found.len() as u64))?;
        match file.read_exact(&mut found) {
            Ok(()) => Ok(found == self.last),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Calls `on_line` with the number and the text of each whole line that is new. A line without its end is read once it has one.
    ///
    /// # Errors
    /// If the file cannot be read, a line has no end within the longest of a log, or `on_line` fails.
    pub fn read(
        &mut self,
        file: &mut File,
        path: &Path,
        mut on_line: impl FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let unread = || format!("the log `{}` cannot be read", path.display());
        file.seek(SeekFrom::Start(self.offset)).with_context(unread)?;
        let (mut file, mut line) = (BufReader::new(file), Vec::new());
        loop {
            line.clear();
            (&mut file).take(LONGEST_LINE + 1).read_until(b'\n', &mut line).with_context(unread)?;
            if line.len() as u64 > LONGEST_LINE {
                let (number, name, most) = (self.lines + 1, path.display(), Bytes(LONGEST_LINE));
                bail!("line {number} of `{name}` is longer than {most}, so it is no event of a sweep");
            }
            if line.last() != Some(&b'\n') {
                return Ok(());
            }
            (self.offset, self.lines) = (self.offset + line.len() as u64, self.lines + 1);
            self.last.clear();
            self.last.extend(&line[line.len().saturating_sub(REMEMBERED)..]);
            on_line(self.lines, &line)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use super::*;

    fn new_lines(tail: &mut Tail, path: &Path) -> Vec<String> {
        let mut file = File::open(path).expect("a file");
        if !tail.fits(&mut file).expect("it is read") {
            *tail = Tail::default();
        }
        let mut found = Vec::new();
        let read = tail.read(&mut file, path, |number, line| {
            found.push(format!("{number} {}", String::from_utf8_lossy(line).trim_end()));
            Ok(())
        });
        read.expect("it is read");
        found
    }

    #[test]
    fn each_line_is_read_once_and_all_again_if_the_file_is_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let add =
            |text: &str| File::options().append(true).open(&path).and_then(|mut file| file.write_all(text.as_bytes()));
        fs::write(&path, "one\ntwo\nthr").expect("a file");
        let mut tail = Tail::default();
        assert_eq!(new_lines(&mut tail, &path), ["1 one", "2 two"]);
        assert!(new_lines(&mut tail, &path).is_empty());
        add("ee\nfour\n").expect("it is written");
        assert_eq!(new_lines(&mut tail, &path), ["3 three", "4 four"]);
        // A copy of the same file, longer, is read on.
        fs::write(path.with_extension("new"), "one\ntwo\nthree\nfour\nfive\n").expect("a file");
        fs::rename(path.with_extension("new"), &path).expect("it is replaced");
        assert_eq!(new_lines(&mut tail, &path), ["5 five"]);
        // Cut and written on until it is longer than before.
        fs::write(&path, "one\nTWO\nTHREE\nFOUR\nFIVE\nSIX\n").expect("a file");
        assert_eq!(new_lines(&mut tail, &path).len(), 6);
        fs::write(&path, "one\n").expect("a file");
        assert_eq!(new_lines(&mut tail, &path), ["1 one"]);
        fs::write(&path, "").expect("a file");
        assert!(new_lines(&mut tail, &path).is_empty());
    }
}
