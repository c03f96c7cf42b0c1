//! Being asked to end: by Ctrl-C, by a system or scheduler (SIGTERM), by a terminal that is closed (SIGHUP). The first time asks the work to stop where
//! its results are whole, the second ends the process.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use crate::{lock, terminal::note};

/// The exit code of a process that ended because it was asked to.
pub const STOPPED: u8 = 130;

/// Knows if the work was asked to stop.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<OnceLock<&'static str>>);

impl Interrupt {
    /// Listens from now on.
    pub fn listen(quiet: bool) -> Interrupt {
        let interrupt = Interrupt::default();
        let asked = interrupt.0.clone();
        on_signal(move |by| {
            if asked.set(by).is_err() {
                lock::release_all();
                std::process::exit(STOPPED.into());
            }
            if !quiet {
                note(format_args!("Stopping after this step; {by} again ends at once, without results."));
            }
        });
        interrupt
    }

    /// Whether to stop.
    pub fn is_pressed(&self) -> bool {
        self.0.get().is_some()
    }

    /// Who asked: `Ctrl-C`, `SIGTERM` or `SIGHUP`.
    pub fn by(&self) -> &'static str {
        self.0.get().unwrap_or(&CTRL_C)
    }
}

/// Ends the process when it is asked to, with these words: for work of which a part is nothing.
pub fn end_when_asked(words: &'static str) {
    on_signal(move |by| {
        note(format_args!("Stopped by {by}: {words}."));
        lock::release_all();
        std::process::exit(STOPPED.into());
    });
}

const CTRL_C: &str = "Ctrl-C";

/// Calls this with each signal, by name, on a thread of its own.
fn on_signal(heard: impl FnMut(&'static str) + Send + 'static) {
    if let Err(error) = listen(heard) {
        note(format_args!("Ctrl-C will end the work without results: {error}"));
    }
}

#[cfg(unix)]
fn listen(mut heard: impl FnMut(&'static str) + Send + 'static) -> io::Result<()> {
    use signal_hook::{
        consts::{SIGHUP, SIGINT, SIGTERM},
        iterator::Signals,
    };
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !is_ignored(*signal)))?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            heard(match signal {
                SIGTERM => "SIGTERM",
                SIGHUP => "SIGHUP",
                _ => CTRL_C,
            });
        }
    })?;
    Ok(())
}

/// True if whoever began this process has it ignore a signal, as `nohup` does with SIGHUP and a script with Ctrl-C for what it runs in the background: listening
/// would undo that. Only Linux says so; elsewhere, whoever writes to no terminal doesn't mind that it is closed.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    use std::io::IsTerminal;
    let ignored = |status: String| {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    };
    let ignored = std::fs::read_to_string("/proc/self/status").ok().and_then(ignored);
    let closes = || signal == signal_hook::consts::SIGHUP && !io::stderr().is_terminal();
    // The lowest bit is that of signal 1.
    ignored.map_or_else(closes, |mask| mask >> (signal - 1) & 1 == 1)
}

/// Has a write beyond the largest file that is allowed fail, as on a full disk, instead of ending the process without a word.
pub fn outlive_full_disks() {
    #[cfg(unix)]
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
}

#[cfg(not(unix))]
fn listen(mut heard: impl FnMut(&'static str) + Send + 'static) -> io::Result<()> {
    ctrlc::set_handler(move || heard(CTRL_C)).map_err(io::Error::other)
}
