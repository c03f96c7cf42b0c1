//! Two processes that write to the same place would mix their results: who writes somewhere holds a lock there.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use crate::terminal::note;

/// The locks that this process holds, with the folders that were made for them.
static HELD: Mutex<Vec<(PathBuf, Vec<PathBuf>)>> = Mutex::new(Vec::new());

/// Removes the files of all locks that are held, for a process that ends where it stands.
pub fn release_all() {
    for (path, made) in HELD.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        let _ = fs::remove_file(path);
        remove_empty(&made);
    }
}

/// A locked file, which is removed when this is dropped. The system lets go of the lock however the process ends.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    // Open as long as the lock is held.
    _file: File,
}

impl Lock {
    /// Locks the file at `path`, which is made if it is missing, and so is its folder; none if another process holds it.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let made: Vec<PathBuf> = folder.ancestors().take_while(missing).map(Path::to_owned).collect();
        let taken = Self::take_in_folder(path, folder);
        match taken {
            Ok(Some(file)) => {
                HELD.lock().unwrap_or_else(PoisonError::into_inner).push((path.to_owned(), made));
                Ok(Some(Self { path: path.to_owned(), _file: file }))
            }
            refused => {
                remove_empty(&made);
                refused.map(|_| None)
            }
        }
    }

    fn take_in_folder(path: &Path, folder: &Path) -> io::Result<Option<File>> {
        fs::create_dir_all(folder)?;
        loop {
            let file = File::options().write(true).create(true).truncate(false).open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                // Some network file systems have no locks; that is no reason to have no results.
                Err(TryLockError::Error(error)) => note(format_args!(
                    "`{}` cannot be locked ({error}): take care that no other process writes there.",
                    path.display()
                )),
            }
            // Whoever held it may have removed it since it was opened.
            if is_at(&file, path) {
                return Ok(Some(file));
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = held.iter().position(|(path, _)| *path == self.path) else { return };
        let (path, made) = held.swap_remove(place);
        // Before the lock is let go of, so that what is removed is not another's.
        let _ = fs::remove_file(path);
        remove_empty(&made);
    }
}

fn remove_empty(folders: &[PathBuf]) {
    // One that holds something cannot be removed, and neither can those around it.
    let _ = folders.iter().try_for_each(fs::remove_dir);
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    matches!((file.metadata().map(place), fs::metadata(path).map(place)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_holds_a_lock_and_nothing_is_left() {
        let place = tempfile::TempDir::new().expect("a temporary folder");
        let path = place.path().join("a/b/.lock");
        let take = || Lock::take(&path).expect("it can be written");
        let held = take().expect("nobody holds it");
        assert!(take().is_none() && path.exists());
        drop(held);
        assert!(!place.path().join("a").exists());
        let held = take();
        fs::write(place.path().join("a/b/mine"), "").expect("a file");
        drop(held);
        assert!(!path.exists() && place.path().join("a/b/mine").exists());
        assert!(Lock::take(&place.path().join("a/b/mine/.lock")).is_err());
    }
}
