//! The parts of a reproduction: each is written when it is measured, so that a reproduction that is continued measures only the others.

use std::{fs, path::PathBuf, time::Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    results::{PARTS, Results},
    terminal::note,
};

/// The parts that are measured.
pub struct Parts {
    file: PathBuf,
    started: Instant,
    known: Known,
    /// True if they could not be written, which was said.
    unwritten: bool,
}

#[derive(Default, Serialize, Deserialize)]
struct Known {
    /// Seconds of work until the last part ended.
    seconds: f64,
    /// The parts, by name.
    parts: Map<String, Value>,
}

impl Parts {
    /// Those in the results so far; none for a reproduction that begins.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn of(results: &Results) -> Result<Self> {
        let file = results.place().join(PARTS);
        let known = match file.is_file() {
            true => {
                let unread = || format!("`{}` cannot be read", file.display());
                serde_json::from_slice(&fs::read(&file).with_context(unread)?).with_context(unread)?
            }
            false => Known::default(),
        };
        Ok(Self { file, started: Instant::now(), known, unwritten: false })
    }

    /// Seconds of work, with those before it was continued.
    pub fn seconds(&self) -> f64 {
        self.known.seconds + self.started.elapsed().as_secs_f64()
    }

    /// A part if it is measured.
    ///
    /// # Errors
    /// If it is of another form.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let unread = || format!("the part \"{name}\" in `{}` cannot be read", self.file.display());
        self.known.parts.get(name).map(T::deserialize).transpose().with_context(unread)
    }

    /// Adds a part that was just measured, and writes all. The work goes on if they cannot be written.
    ///
    /// # Errors
    /// If it is no JSON.
    pub fn put(&mut self, results: &Results, name: &str, part: &impl Serialize) -> Result<()> {
        self.known.seconds = self.seconds();
        self.started = Instant::now();
        self.known.parts.insert(name.to_owned(), serde_json::to_value(part)?);
        let contents = serde_json::to_vec(&self.known)?;
        let written = results.write_command().and_then(|()| results.write(PARTS, &contents));
        if let Err(error) = written
            && !std::mem::replace(&mut self.unwritten, true)
        {
            note(format_args!("The work goes on, but its parts are not saved: {error:#}."));
        }
        Ok(())
    }

    /// A part, measured if it is not yet.
    ///
    /// # Errors
    /// If it cannot be measured, or read.
    pub fn measured<T: Serialize + DeserializeOwned>(
        &mut self,
        results: &Results,
        name: &str,
        measure: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        if let Some(part) = self.get(name)? {
            return Ok(part);
        }
        let part = measure()?;
        self.put(results, name, &part)?;
        Ok(part)
    }
}
