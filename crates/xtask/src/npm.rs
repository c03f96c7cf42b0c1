//! Packages of npm's registry, for building, testing and measuring the page; none is part of it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};

use crate::{ROOT, run, succeeds};

/// The folder of the packages that builds and tests of the page use.
pub const PAGE: &str = "web/npm";

const LOCK: &str = "package-lock.json";

/// True if npm can be run.
pub fn is_there() -> bool {
    succeeds(npm().arg("--version"))
}

/// Brings what the lock file in `folder` names, each package held to the SHA-512 there, and gives back the folder that has it, below `target/`. No
/// script of any package is run.
pub fn provide(folder: &str) -> Result<PathBuf> {
    let (from, to) = (Path::new(ROOT).join(folder), Path::new(ROOT).join("target/npm").join(folder.replace('/', "-")));
    let (lock, modules) = (fs::read(from.join(LOCK))?, to.join("node_modules"));
    // Written last, so that what was cut short is fetched anew.
    let stamp = to.join("fetched");
    if fs::read(&stamp).is_ok_and(|fetched| fetched == lock) {
        return Ok(modules);
    }
    println!("packages of {folder}/{LOCK}: missing; fetching them from npm's registry into target/npm");
    fs::create_dir_all(&to)?;
    for name in ["package.json", LOCK] {
        fs::copy(from.join(name), to.join(name))?;
    }
    let mut install = npm();
    install.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]).current_dir(&to);
    if run(&mut install).context("npm comes with Node.js (`apt-get install npm` on Debian)")? != ExitCode::SUCCESS {
        bail!("`npm ci` did not bring what {folder}/{LOCK} names; see its message above");
    }
    fs::write(stamp, lock)?;
    Ok(modules)
}

/// Runs a package of npm's registry.
pub fn npx() -> Command {
    script("npx")
}

fn npm() -> Command {
    script("npm")
}

fn script(name: &str) -> Command {
    // On Windows it is a script, which only its shell finds.
    if cfg!(windows) {
        let mut shell = Command::new("cmd");
        shell.args(["/C", name]);
        return shell;
    }
    Command::new(name)
}
