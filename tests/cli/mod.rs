//! The command, through the real binary: what it writes, what it says, how it ends.

mod bad_input;
mod chat;
mod checkpoints;
mod cluster;
mod data;
mod eval;
mod export;
mod fuzz;
mod generate;
mod gpu;
#[cfg(feature = "hub")]
mod hub;
mod init;
mod input;
mod interrupt;
mod labels;
mod memory;
mod merge;
mod models;
mod mutate;
mod quantize;
mod report;
mod reproduce;
mod results;
mod resume;
mod search;
mod shards;
mod starts;
mod stopping;
mod sweep;
mod targets;
mod trackers;
mod tune;
mod watch;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// The smallest training: the flags of every test that trains.
const SMALL: [&str; 8] = ["--base", "nano", "--steps", "3", "--batch-size", "2", "--validation-examples", "4"];

/// A folder of its own to run commands in.
struct Place(TempDir);

/// The end of a command: its exit code and its output.
struct Outcome {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Place {
    fn new() -> Self {
        Self(TempDir::new().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path(name), contents).expect("a temporary file");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_str(&self.read(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Every event of a log, in order.
    fn events(&self, name: &str) -> Vec<loralab_experiment::Event> {
        let event = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        self.read(name).lines().map(event).collect()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loralab"));
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        // Without a desktop, Mesa's Vulkan complains on stderr that this is not set.
        command.env("XDG_RUNTIME_DIR", self.0.path());
        command.env("XDG_CACHE_HOME", self.path("cache"));
        // The cache of Hugging Face's hub is then in it.
        for variable in ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME"] {
            command.env_remove(variable);
        }
        // A build that fetches models asks nobody but a server of the test.
        command.env("HF_HUB_OFFLINE", "1");
        command
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let output = self.command(arguments).output().expect("the binary runs");
        let text = |bytes| String::from_utf8(bytes).expect("the binary writes UTF-8");
        let outcome = Outcome {
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        assert!(!outcome.stderr.contains("panicked"), "{arguments:?}: {}", outcome.stderr);
        for text in [&outcome.stdout, &outcome.stderr] {
            self.check_advice(arguments, text);
        }
        outcome
    }

    /// Every flag that stands in backticks is one of the command that says so, or of the one that it is given to.
    fn check_advice(&self, arguments: &[&str], text: &str) {
        for advice in text.split('`').skip(1).step_by(2) {
            let words: Vec<&str> = advice.split_whitespace().collect();
            let command: Vec<&str> = match words[..] {
                ["loralab", ..] => words[1..].iter().copied().take_while(|word| !word.starts_with('-')).collect(),
                _ if advice.starts_with("--") => arguments.to_vec(),
                _ => continue,
            };
            let subcommands = if command.first() == Some(&"reproduce") { 2 } else { 1 };
            let command = &command[..command.len().min(subcommands)];
            // It lists what the flag of the others takes.
            if command == ["devices"] {
                continue;
            }
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                let flag = flag.trim_end_matches(['.', ',']);
                let help = self.command(&[command, &["--help"]].concat()).output().expect("the binary runs").stdout;
                let help = String::from_utf8_lossy(&help).into_owned();
                let known = help.split([' ', ',', '\n', '[', ']']).any(|word| word == flag);
                assert!(known, "{arguments:?}: `{flag}` is no flag of {command:?}, but this advises it: {text}");
            }
        }
    }

    /// Runs what must succeed.
    fn succeed(&self, arguments: &[&str]) -> Outcome {
        let outcome = self.run(arguments);
        assert_eq!(outcome.code, 0, "{arguments:?}: {}", outcome.stderr);
        outcome
    }

    /// Runs what must be refused with this code and one sentence that has these words, and leave every file as it was.
    fn refuse(&self, arguments: &[&str], code: i32, words: &[&str]) {
        let before = snapshot(self.0.path());
        let Outcome { code: found, stdout, stderr } = self.run(arguments);
        assert_eq!(found, code, "{arguments:?}: {stderr}");
        // Notes on what was read may stand before.
        assert!(stderr.lines().any(|line| line.starts_with("error: ")), "{arguments:?}: {stderr}");
        for word in words {
            assert!(stderr.contains(word), "{arguments:?}: no \"{word}\" in {stderr}");
        }
        assert_eq!(stdout, "", "{arguments:?}");
        assert_eq!(snapshot(self.0.path()), before, "{arguments:?}: files have changed");
    }
}

/// Every file and folder below, with its contents.
fn snapshot(folder: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.push((path.clone(), None));
            found.extend(snapshot(&path));
        } else {
            found.push((path.clone(), fs::read(&path).ok()));
        }
    }
    found.sort();
    found
}

/// These flags after those of [`SMALL`].
fn small<'a>(command: &'a str, flags: &[&'a str]) -> Vec<&'a str> {
    [&[command], &SMALL[..], flags].concat()
}

/// Waits until something is so.
fn until(what: &str, mut is: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(120);
    while !is() {
        assert!(Instant::now() < patience, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends a signal: INT, TERM, HUP, KILL.
fn send(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
}
