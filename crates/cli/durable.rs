//! Files and folders that are written whole or not at all, also in the case of a power failure.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Error, Result};

/// Writes a folder under a temporary name beside it and renames it, so that it appears with all of its files or not at all. An existing folder keeps
/// its other files.
///
/// # Errors
/// If it cannot be written.
pub fn write_folder(folder: &Path, files: &[(&str, &[u8])]) -> Result<()> {
    fill_folder(folder, |partial| write_all(partial, files))
}

/// Like [`write_folder`], for files that are too large to be held: `fill` writes them into the folder that it gets, which then takes its place.
///
/// # Errors
/// If that fails; nothing is left of it then.
pub fn fill_folder(folder: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let filled = put_folder(folder, fill).and_then(|()| Ok(sync_folder(parent(folder))?));
    filled.map_err(|error| if error.is::<io::Error>() { error.context(unwritable(folder)) } else { error })
}

/// Writes files into a folder, and syncs each.
///
/// # Errors
/// If one cannot be written.
pub fn write_all(folder: &Path, files: &[(&str, &[u8])]) -> Result<()> {
    files.iter().try_for_each(|(name, contents)| Ok(write_synced(&folder.join(name), contents)?))
}

/// Like [`fill_folder`], without syncing the folder's name; a sync of its parent does that.
pub fn put_folder(folder: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let partial = partial(folder);
    let write = || -> Result<()> {
        // A killed process may have left one.
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        fs::create_dir_all(&partial)?;
        fill(&partial)?;
        sync_folder(&partial)?;
        Ok(move_into(&partial, folder)?)
    };
    write().inspect_err(|_| drop(fs::remove_dir_all(&partial)))
}

/// Writes a file under a temporary name beside it and renames it.
///
/// # Errors
/// If it cannot be written.
pub fn write_whole(path: &Path, contents: &[u8]) -> Result<()> {
    put(path, contents).with_context(|| unwritable(path))
}

/// Like [`write_whole`], with the bare error.
///
/// # Errors
/// If it cannot be written.
pub fn put(path: &Path, contents: &[u8]) -> io::Result<()> {
    let partial = partial(path);
    let write = || {
        write_synced(&partial, contents)?;
        fs::rename(&partial, path)?;
        sync_folder(parent(path))
    };
    write().inspect_err(|_| drop(fs::remove_file(&partial)))
}

/// Writes a file and syncs it to the disk.
fn write_synced(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(contents)?;
    file.sync_all()
}

/// Syncs the names in a folder to the disk; without that, a power failure may undo a rename.
#[cfg(unix)]
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // Some file systems sync names by themselves and refuse the call; some folders are writable but not readable.
        Err(error) if matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported) => Ok(()),
        synced => synced,
    }
}

/// Does nothing: other systems cannot open a folder for that.
#[cfg(not(unix))]
pub fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// The parent folder of a path.
pub fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Renames a file or folder. If `to` is a folder that is not empty, the contents of `from` are moved into it.
pub fn move_into(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() && to.is_dir() && fs::remove_dir(to).is_err() {
        for entry in fs::read_dir(from)?.collect::<io::Result<Vec<_>>>()? {
            move_into(&entry.path(), &to.join(entry.file_name()))?;
        }
        sync_folder(to)?;
        return fs::remove_dir(from);
    }
    fs::rename(from, to)
}

/// True if a write failed because the disk or quota is full.
pub fn is_full(error: &Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    kinds.into_iter().any(|kind| matches!(kind, QuotaExceeded | StorageFull))
}

/// The temporary name of a path: hidden, and in the same folder, so that the rename is atomic.
fn partial(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.partial"))
}

/// The message for a path that cannot be written, with a remedy.
pub fn unwritable(path: &Path) -> String {
    format!("`{}` cannot be written; {SPACE}", path.display())
}

/// Advice for a path that cannot be written.
pub const SPACE: &str = "check its permissions and the space left, or choose another `--output`";
