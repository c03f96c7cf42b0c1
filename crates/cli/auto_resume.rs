//! `--auto-resume`: a sweep that an engine may start several times begins once, and goes on from then.

use std::{fs, path::Path, thread::sleep, time::Duration};

use anyhow::{Context, Result};

use crate::{
    args::{self, Command, SweepArguments, Typed},
    durable::unwritable,
    failure::usage,
    lock::Lock,
    results::{ADAPTERS, EXPERIMENT, FILES, LOCK},
    resume::{ALLOWED, Begun, file_of},
    terminal::note,
};

/// Flags that say where results are written and how they are begun, and nothing of what is trained.
const PLACE: [&str; 2] = ["output", "overwrite"];

/// The command without `--auto-resume`: with `--resume` if its folder was begun by the same command, else as it was typed.
///
/// # Errors
/// If another command began the folder.
pub fn decided(command: Command, mut typed: Typed) -> Result<(Command, Typed)> {
    let Command::Sweep(SweepArguments { auto_resume: true, shard, output, .. }) = &command else {
        return Ok((command, typed));
    };
    let folder = shard.map_or_else(|| output.output.clone(), |shard| output.output.join(shard.folder()));
    typed.flags.remove("auto-resume");
    wait_until_free(&folder)?;
    let name = folder.display().to_string();
    if file_of(&folder).is_file() {
        let begun = Begun::read(&folder, &name)?;
        let mut now = typed.clone();
        if let Some(shard) = shard {
            now.flags.insert("shard".to_owned(), Some(shard.to_string()));
        }
        if let Some(flag) = difference(&begun.typed, &now) {
            return Err(usage(format_args!(
                "`{name}` was begun with {}, and this command has {}; choose another `--output`, or go on with `loralab sweep --resume {name}`",
                said(&begun.typed, flag),
                said(&now, flag)
            )));
        }
        typed.flags.retain(|flag, _| ALLOWED.contains(&flag.as_str()));
        typed.flags.insert("resume".to_owned(), Some(name));
    } else if !folder.join(EXPERIMENT).exists() && holds_own(&folder) {
        // A process that was killed in its first moments leaves files that are no results yet.
        typed.flags.insert("overwrite".to_owned(), None);
    }
    Ok((args::parse_again(&typed), typed))
}

/// True if a folder holds nothing but what a sweep writes before its command.
fn holds_own(folder: &Path) -> bool {
    let is_own = |name: &str| name.starts_with('.') || name == ADAPTERS || FILES.contains(&name);
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).all(|name| name.to_str().is_some_and(is_own))
}

/// The first flag that would change results and is not the same.
fn difference<'a>(one: &'a Typed, other: &'a Typed) -> Option<&'a str> {
    let flags = one.flags.keys().chain(other.flags.keys()).map(String::as_str);
    let mut flags = flags.filter(|flag| !ALLOWED.contains(flag) && !PLACE.contains(flag));
    flags.find(|flag| one.flags.get(*flag) != other.flags.get(*flag))
}

/// A flag as it was typed.
fn said(typed: &Typed, flag: &str) -> String {
    match typed.flags.get(flag) {
        None => format!("no `--{flag}`"),
        Some(None) => format!("`--{flag}`"),
        Some(Some(value)) => format!("`--{flag} {value}`"),
    }
}

/// Waits while another process writes to a folder: one on a machine that the engine has given up may still end its work.
fn wait_until_free(folder: &Path) -> Result<()> {
    let file = folder.join(LOCK);
    let mut waits = false;
    while file.exists() && Lock::take(&file).with_context(|| unwritable(folder))?.is_none() {
        if !waits {
            note(format_args!(
                "Waiting until another process that writes to `{}` has ended. If there is none, as when its machine is lost and the file system keeps the lock, \
                 remove `{}`.",
                folder.display(),
                file.display()
            ));
        }
        waits = true;
        sleep(Duration::from_secs(1));
    }
    Ok(())
}
