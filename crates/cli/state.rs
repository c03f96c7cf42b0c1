//! The state of a training on the disk, from which `--resume` continues it: two files in turn, of which the newer whole one counts.
//!
//! A file is a line with the SHA-256 of the rest, a line of JSON, the header, and the training's bytes. It is written under another name, synced and renamed, so a
//! killed process leaves the earlier one.

use std::{
    fmt::{self, Write},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use loralab_data::Dataset;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::durable::write_whole;

/// The names of the two files in a results folder.
pub const STATES: [&str; 2] = ["state.0.bin", "state.1.bin"];

/// A state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// The facts about the results that it continues.
    pub facts: Facts,
    /// The training between two steps, in the format of its kind; empty between two trainings.
    pub bytes: Vec<u8>,
}

/// The facts about the results that a state continues.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Bytes of the log that the state follows; what was logged later is made again.
    pub log: u64,
    /// Seconds of work so far.
    pub seconds: f64,
    /// The runs whose adapters could not be written, by name.
    pub unwritten: Vec<String>,
    /// The fingerprint of the data that are trained on.
    pub data: String,
}

impl Facts {
    /// True if the adapter of a run, or its best checkpoint, could not be written.
    pub fn forgets(&self, run: &str) -> bool {
        self.unwritten.iter().any(|name| name.split('/').next() == Some(run))
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    /// Counts the states of a folder.
    number: u64,
    facts: Facts,
}

/// The two files of a training's states.
#[derive(Debug)]
pub struct States {
    files: [PathBuf; 2],
    /// The number of the newest state; 0 before the first.
    newest: u64,
}

impl States {
    /// Those in a results folder.
    pub fn of_folder(folder: &Path) -> Self {
        Self { files: STATES.map(|name| folder.join(name)), newest: 0 }
    }

    /// Those in another folder, to which the files were moved.
    pub fn move_to(&mut self, folder: &Path) {
        self.files = STATES.map(|name| folder.join(name));
    }

    /// Those of a result that is one file: beside it, by names that begin with its own.
    pub fn of_file(file: &Path) -> Self {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        Self { files: STATES.map(|state| file.with_file_name(format!("{name}.{state}"))), newest: 0 }
    }

    /// Writes a state in place of the older one.
    ///
    /// # Errors
    /// If it cannot be written; both earlier ones stay.
    pub fn save(&mut self, state: &State) -> Result<()> {
        let header = Header { number: self.newest + 1, facts: state.facts.clone() };
        let line = format!("{}\n", serde_json::to_string(&header)?);
        let hash = Sha256::new().chain_update(&line).chain_update(&state.bytes).finalize();
        let contents = [hexadecimal(&hash).as_bytes(), b"\n", line.as_bytes(), &state.bytes].concat();
        write_whole(self.file_of(header.number), &contents)?;
        self.newest = header.number;
        Ok(())
    }

    /// The newest state that is whole; none if there is none.
    pub fn load(&mut self) -> Option<State> {
        let read = |file: &PathBuf| parse(&fs::read(file).ok()?);
        let (number, state) = self.files.iter().filter_map(read).max_by_key(|(number, _)| *number)?;
        self.newest = number;
        Some(state)
    }

    /// True if a state is there, whole or not.
    pub fn exist(&self) -> bool {
        self.files.iter().any(|file| file.exists())
    }

    /// Removes the states.
    pub fn remove(&self) {
        for file in &self.files {
            let _ = fs::remove_file(file);
        }
    }

    fn file_of(&self, number: u64) -> &Path {
        &self.files[usize::from(number.is_multiple_of(2))]
    }
}

fn parse(contents: &[u8]) -> Option<(u64, State)> {
    let (hash, rest) = first_line(contents)?;
    if hash != hexadecimal(&Sha256::digest(rest)).as_bytes() {
        return None;
    }
    let (header, bytes) = first_line(rest)?;
    let Header { number, facts } = serde_json::from_slice(header).ok()?;
    Some((number, State { facts, bytes: bytes.to_vec() }))
}

/// The first line, and what follows it.
fn first_line(contents: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = contents.iter().position(|byte| *byte == b'\n')?;
    Some((&contents[..end], &contents[end + 1..]))
}

/// A fingerprint of a dataset, which differs where any of its tokens does.
pub fn fingerprint(data: &Dataset) -> String {
    struct Text(Sha256);
    impl Write for Text {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.update(text);
            Ok(())
        }
    }
    let mut text = Text(Sha256::new());
    // Every field of a dataset is in its debug format.
    let _ = write!(text, "{data:?}");
    hexadecimal(&text.0.finalize())
}

/// Refuses other data than a state was saved with.
///
/// # Errors
/// If they differ.
pub fn check_data(facts: &Facts, data: &str) -> Result<()> {
    if !facts.data.is_empty() && facts.data != data {
        bail!(
            "the data to train on are not those that the results were begun with; continue with those, or begin anew, without `--resume`"
        );
    }
    Ok(())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(log: u64) -> State {
        State {
            facts: Facts { log, seconds: 0.5, unwritten: vec!["a".to_owned()], data: String::new() },
            bytes: vec![b'\n', log as u8, 0],
        }
    }

    #[test]
    fn the_newest_state_that_is_whole_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut states = States::of_folder(folder.path());
        assert_eq!(states.load(), None);
        for log in 1..=3 {
            states.save(&state(log)).expect("it is written");
            let mut again = States::of_folder(folder.path());
            assert_eq!(again.load(), Some(state(log)));
            assert_eq!(again.newest, log);
        }
        // The third is damaged in each of its bytes in turn, or cut off: the second counts.
        let file = folder.path().join(STATES[0]);
        let whole = fs::read(&file).expect("it is there");
        for place in 0..whole.len() {
            let damaged: Vec<u8> = whole.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at == place)).collect();
            for contents in [&damaged[..], &whole[..place]] {
                fs::write(&file, contents).expect("it is written");
                assert_eq!(States::of_folder(folder.path()).load(), Some(state(2)), "{place}");
            }
        }
    }
}
