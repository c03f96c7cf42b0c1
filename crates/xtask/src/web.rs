//! `cargo xtask web`: builds the page, and serves it.

use std::{env, ffi::OsString, path::PathBuf, process::Command, process::ExitCode};

use anyhow::{Context, Result, bail};

use crate::{ROOT, WASM, cargo, provide, run, wasm_target_is_there};

/// A program of crates.io that building the page needs.
struct Tool {
    package: &'static str,
    program: &'static str,
    version: &'static str,
    /// How cargo is to install it.
    flags: &'static [&'static str],
}

/// The versions that `Trunk.toml` was written for.
const TOOLS: [Tool; 2] = [
    // Without optimisation: it does little itself, and compiles several times as fast.
    Tool { package: "trunk", program: "trunk", version: "0.21.14", flags: &["--locked", "--debug"] },
    // Not with its own lock file, which names a version of a library that not every mirror of crates.io has.
    Tool { package: "wasm-bindgen-cli", program: "wasm-bindgen", version: "0.2.130", flags: &[] },
];

/// Brings the tools, and gives back a PATH that has them.
pub fn provide_tools() -> Result<OsString> {
    // Beside the build rather than in `~/.cargo/bin`, where another version may be wanted.
    let folder = PathBuf::from(ROOT).join("target/tools");
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([folder.join("bin")].into_iter().chain(env::split_paths(&path)))
        .context("PATH, or the path of this repository, holds a character that separates paths")?;
    provide(WASM, wasm_target_is_there, &["target", "add", WASM])?;
    for tool in &TOOLS {
        tool.provide(&folder, &path)?;
    }
    Ok(path)
}

/// Builds the page into `dist/`.
pub fn build() -> Result<ExitCode> {
    run(trunk(provide_tools()?).args(["build", "--release"]))
}

/// Serves the page on `port`, and builds it again when its source changes.
pub fn serve(port: u16) -> Result<ExitCode> {
    let mut trunk = trunk(provide_tools()?);
    println!("building the page; then it is at http://127.0.0.1:{port}/ until Ctrl-C");
    run(trunk.args(["serve", "--address", "127.0.0.1", "--port", &port.to_string()]))
}

fn trunk(path: OsString) -> Command {
    let mut trunk = Command::new("trunk");
    // It takes NO_COLOR=1 for a mistake: it wants the word `true`.
    trunk.current_dir(ROOT).env("PATH", path).env_remove("NO_COLOR");
    trunk
}

impl Tool {
    fn is_there(&self, path: &OsString) -> bool {
        let output = Command::new(self.program).arg("--version").env("PATH", path).env_remove("NO_COLOR").output();
        output.is_ok_and(|output| {
            let words = String::from_utf8_lossy(&output.stdout);
            output.status.success() && words.split_whitespace().nth(1) == Some(self.version)
        })
    }

    /// Installs the tool into `folder`, unless it is in `path`.
    fn provide(&self, folder: &PathBuf, path: &OsString) -> Result<()> {
        let Tool { package, version, .. } = self;
        if self.is_there(path) {
            println!("{package} {version}: there");
            return Ok(());
        }
        println!("{package} {version}: missing; compiling it into target/tools, once, which takes some minutes");
        let mut install = cargo();
        install
            .args(["install", "--quiet", package, "--version", version, "--force", "--root"])
            .arg(folder)
            .args(self.flags);
        if run(&mut install)? != ExitCode::SUCCESS || !self.is_there(path) {
            bail!("`cargo install {package} --version {version}` did not bring it; see its message above");
        }
        Ok(())
    }
}
