//! Ctrl-C: the first asks the work to stop where its results are whole, the second ends the process.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::terminal::note;

/// Whether Ctrl-C was pressed.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens from now on.
    pub fn listen(quiet: bool) -> Interrupt {
        let interrupt = Interrupt::default();
        let pressed = interrupt.0.clone();
        let heard = ctrlc::set_handler(move || {
            if pressed.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
            if !quiet {
                note("Stopping after this step; Ctrl-C again ends at once, without results.");
            }
        });
        if let Err(error) = heard {
            note(format_args!("Ctrl-C will end the work without results: {error}"));
        }
        interrupt
    }

    /// Whether to stop.
    pub fn is_pressed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
