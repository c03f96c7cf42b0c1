//! Requests to stop: Ctrl-C, a system or scheduler (SIGTERM), a closed terminal (SIGHUP). The first stops the work where its results are complete, the
//! second ends the process.

use std::{
    io,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use crate::{lock, terminal::note};

/// The exit code of a process stopped on request.
pub const STOPPED: u8 = 130;

/// SIGTERM again within this time is the same request: a scheduler may signal a process and the script that began it, which hands the signal on.
const SAME: Duration = Duration::from_secs(5);

/// A request to stop the work; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<OnceLock<&'static str>>);

impl Interrupt {
    /// Starts to listen for requests.
    pub fn listen(quiet: bool) -> Interrupt {
        let interrupt = Interrupt::default();
        let asked = interrupt.0.clone();
        let mut terminated: Option<Instant> = None;
        on_signal(move |by| {
            if by == TERM && terminated.is_some_and(|first| first.elapsed() < SAME) {
                return;
            }
            if asked.set(by).is_err() {
                lock::release_all();
                std::process::exit(STOPPED.into());
            }
            terminated = (by == TERM).then(Instant::now);
            if !quiet {
                note(format_args!("Stopping after this step; {by} again ends at once, without results."));
            }
        });
        interrupt
    }

    /// True if a stop was requested.
    pub fn is_pressed(&self) -> bool {
        self.0.get().is_some()
    }

    /// The source of the request: `Ctrl-C`, `SIGTERM` or `SIGHUP`.
    pub fn by(&self) -> &'static str {
        self.0.get().unwrap_or(&CTRL_C)
    }
}

/// Ends the process on request and prints these words; for work whose partial results are useless.
pub fn end_when_asked(words: &'static str) {
    on_signal(move |by| {
        note(format_args!("Stopped by {by}: {words}."));
        lock::release_all();
        std::process::exit(STOPPED.into());
    });
}

const CTRL_C: &str = "Ctrl-C";
const TERM: &str = "SIGTERM";

/// Calls `heard` with the name of each signal, on a separate thread.
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
                SIGTERM => TERM,
                SIGHUP => "SIGHUP",
                _ => CTRL_C,
            });
        }
    })?;
    Ok(())
}

/// True if the parent process made this one ignore a signal, as `nohup` does with SIGHUP and a shell script with Ctrl-C for background jobs; listening would
/// undo that. Only Linux reports it; elsewhere SIGHUP counts as ignored if stderr is no terminal.
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

/// Makes a write beyond the file size limit fail, as on a full disk, instead of ending the process silently.
pub fn outlive_full_disks() {
    #[cfg(unix)]
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
}

#[cfg(not(unix))]
fn listen(mut heard: impl FnMut(&'static str) + Send + 'static) -> io::Result<()> {
    ctrlc::set_handler(move || heard(CTRL_C)).map_err(io::Error::other)
}
