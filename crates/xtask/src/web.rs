//! `cargo xtask web`: builds the page, and serves it.

use std::{
    env,
    ffi::OsString,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    thread,
};

use anyhow::{Context, Result, anyhow, bail};

use crate::{ROOT, WASM, cargo, npm, provide, run, screenshots::server, sizes, wasm_target_is_there};

/// A program of crates.io that building the page needs.
struct Tool {
    package: &'static str,
    program: &'static str,
    version: &'static str,
    /// Flags of `cargo install`.
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

/// The port that the page is served at if nothing is said.
pub const PORT: u16 = 8080;

/// The file that trunk's inline script is moved to.
const LOADER: &str = "load.js";

/// The page's Content-Security-Policy: it may load its own files and compile its WebAssembly. No inline script, no style attribute, no other host.
const POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'";

/// Builds the page into `dist/`.
pub fn build() -> Result<ExitCode> {
    build_with(|_| Ok(()))
}

/// The same for others to see: optimised once more where npm is, with its sizes told; then served at `port`, if that is given.
pub fn release(port: Option<u16>) -> Result<ExitCode> {
    let code = build_with(optimise)?;
    if code != ExitCode::SUCCESS {
        return Ok(code);
    }
    let dist = fs::canonicalize(PathBuf::from(ROOT).join("dist"))?;
    println!("== compressing each file for hosts that serve compressed ones, by gzip and Brotli: some seconds");
    sizes::compress(&dist)?;
    sizes::tell(&dist)?;
    println!("\nThe page is in {}, for any static host.", dist.display());
    let Some(port) = port else {
        println!("To look at it: `cargo xtask web --release --port {PORT}`, then http://127.0.0.1:{PORT}/");
        return Ok(code);
    };
    println!("It is at {}/ until Ctrl-C.", server::serve(dist, port)?);
    loop {
        thread::park();
    }
}

/// Builds the page, does something to each module of WebAssembly, and has the page know what it is made of.
fn build_with(finish: impl Fn(&Path) -> Result<()>) -> Result<ExitCode> {
    let path = provide_tools()?;
    println!("== compiling the page and its worker to WebAssembly: minutes, the first time");
    let code = run(trunk(path).args(["build", "--release"]))?;
    if code == ExitCode::SUCCESS {
        let dist = PathBuf::from(ROOT).join("dist");
        seal(&dist).context("the built page in dist/ could not be given its Content-Security-Policy")?;
        for entry in fs::read_dir(&dist)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "wasm") {
                finish(&path)?;
            }
        }
        keep_offline(&dist)?;
    }
    Ok(code)
}

/// Has wasm-opt make a module smaller.
fn optimise(module: &Path) -> Result<()> {
    let name = module.file_name().unwrap_or_default().display();
    if !npm::is_there() {
        println!(
            "npm can't be run, so wasm-opt, which comes from its registry, was left out for {name}: it works, and is larger"
        );
        return Ok(());
    }
    println!("== making {name} smaller, with wasm-opt: up to a minute");
    let program = npm::provide(npm::PAGE)?.join("binaryen/bin/wasm-opt");
    let mut optimise = Command::new("node");
    optimise.arg(&program).args(WASM_OPT).arg(module).arg("--output").arg(module);
    if run(&mut optimise)? != ExitCode::SUCCESS {
        bail!("wasm-opt does not take {}; see its message above", module.display());
    }
    Ok(())
}

/// Tells the service worker which files the page has, and a version that differs where any of them does.
fn keep_offline(dist: &Path) -> Result<()> {
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(dist)? {
        let name = entry?.file_name();
        names.push(name.into_string().map_err(|name| anyhow!("{} is no Unicode", name.display()))?);
    }
    names.retain(|name| name != OFFLINE);
    names.sort();
    let mut hasher = DefaultHasher::new();
    for name in &names {
        (name, fs::read(dist.join(name))?).hash(&mut hasher);
    }
    let script = fs::read_to_string(dist.join(OFFLINE))?;
    let told = script.replacen("FILES = []", &format!("FILES = {}", serde_json::to_string(&names)?), 1).replacen(
        "VERSION = \"\"",
        &format!("VERSION = \"{:016x}\"", hasher.finish()),
        1,
    );
    if told.len() < script.len() + 16 {
        bail!("{OFFLINE} has no place for the names of the page's files");
    }
    fs::write(dist.join(OFFLINE), told)?;
    Ok(())
}

/// The service worker.
const OFFLINE: &str = "offline.js";

/// Flags of wasm-opt: the optimisation, and features that every browser with vectors has (see `.cargo/config.toml` and rustc's defaults).
const WASM_OPT: [&str; 8] = [
    "-O2",
    "--enable-simd",
    "--enable-bulk-memory",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-multivalue",
];

/// Gives the built page a policy that forbids whatever is not its own, as part of the file so that any static host will do.
fn seal(dist: &Path) -> Result<()> {
    let index = dist.join("index.html");
    let (html, script) = sealed(&fs::read_to_string(&index)?)?;
    fs::write(dist.join(LOADER), script)?;
    fs::write(index, html)?;
    Ok(())
}

/// The page with its policy, and the inline script that it no longer has.
fn sealed(html: &str) -> Result<(String, String)> {
    const OPEN: &str = "<script type=\"module\">";
    let parts = html.split_once(OPEN).and_then(|(before, rest)| Some((before, rest.split_once("</script>")?)));
    let Some((before, (script, after))) = parts else {
        bail!("index.html has no inline module script, though trunk writes one")
    };
    let loader = format!("<script type=\"module\" src=\"{LOADER}\"></script>");
    let policy = format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">");
    // Before anything that it speaks of.
    let html = format!("{before}{loader}{after}").replacen("<head>", &format!("<head>\n  {policy}"), 1);
    if html.contains(OPEN) || !html.contains(&policy) {
        bail!("index.html has a second inline script, or no head");
    }
    Ok((html, script.trim().to_owned() + "\n"))
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
        install.args(["install", package, "--version", version, "--force", "--root"]).arg(folder).args(self.flags);
        if run(&mut install)? != ExitCode::SUCCESS || !self.is_there(path) {
            bail!("`cargo install {package} --version {version}` did not bring it; see its message above");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_sealed_once_and_whole() {
        let html =
            "<html><head><script src=\"a.js\"></script><script type=\"module\">\nimport x;\n</script></head></html>";
        let (sealed_html, script) = sealed(html).expect("it has one inline script");
        assert_eq!(script, "import x;\n");
        assert!(sealed_html.starts_with("<html><head>\n  <meta http-equiv=\"Content-Security-Policy\""));
        assert!(sealed_html.ends_with(
            "<script src=\"a.js\"></script><script type=\"module\" src=\"load.js\"></script></head></html>"
        ));
        assert!(sealed(&sealed_html).is_err() && sealed(&html.replace("head", "body")).is_err());
        assert!(sealed(&html.replace("</head>", "<script type=\"module\">y</script></head>")).is_err());
    }
}
