//! Files that grow while a sweep trains, of which the first write takes the place of an earlier file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Write,
    path::Path,
};

use anyhow::{Context, Result};

use crate::durable::{parent, unwritable};

/// Files by their names in the results folder. None stays open: a cohort may have more runs than a process may open files.
#[derive(Debug, Default)]
pub struct Files {
    pending: BTreeMap<String, Vec<u8>>,
    bytes: usize,
    written: BTreeSet<String>,
}

impl Files {
    /// True if nothing was added to a file yet.
    pub fn is_new(&self, name: &str) -> bool {
        !self.pending.contains_key(name) && !self.written.contains(name)
    }

    /// Adds bytes to a file.
    pub fn add(&mut self, name: &str, bytes: &[u8]) {
        match self.pending.get_mut(name) {
            Some(pending) => pending.extend(bytes),
            None => drop(self.pending.insert(name.to_owned(), bytes.to_vec())),
        }
        self.bytes += bytes.len();
    }

    /// Bytes that are not written yet.
    pub fn pending(&self) -> usize {
        self.bytes
    }

    /// Writes them to the files in this folder.
    ///
    /// # Errors
    /// If that fails.
    pub fn write(&mut self, folder: &Path) -> Result<()> {
        self.bytes = 0;
        for (name, bytes) in std::mem::take(&mut self.pending) {
            let path = folder.join(&name);
            let begins = self.written.insert(name);
            let write = || {
                if begins {
                    fs::create_dir_all(parent(&path))?;
                    File::create(&path)?;
                }
                // At the end, wherever that is: another tool may have added to it.
                File::options().append(true).open(&path)?.write_all(&bytes)
            };
            write().with_context(|| unwritable(&path))?;
        }
        Ok(())
    }
}
