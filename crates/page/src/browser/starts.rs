//! The starts of the schemes, before any step.

use loralab_experiment::{Request, SchemeStart};
use loralab_figure::spectra;
use loralab_page::panel::{starts_layers, starts_table, starts_words};

use super::{
    dom::{enable, fill, hide, write},
    page::{Page, State},
    show::drawn,
    worker,
};

impl Page {
    /// Asks the worker how the schemes of the form begin.
    pub(super) fn inspect(&mut self) {
        if self.state != State::Waiting || !self.can_begin("looked at") {
            return;
        }
        enable("inspect", false);
        write("starts-note", "Computing …");
        self.starts = vec![];
        let (experiment, data) = (self.full(), self.data());
        self.inspected = Some(experiment.clone());
        worker::send(&self.worker, &Request::Inspect { experiment, data });
        self.show_starts();
    }

    /// The worker tells of a start.
    pub(super) fn started(&mut self, start: SchemeStart, left: usize) {
        let waits = self.state == State::Waiting;
        if left == 0 {
            enable("inspect", waits);
        }
        // The form may have changed since.
        if self.inspected.is_none() {
            return;
        }
        self.starts.push(start);
        let note = if left == 0 || !waits { String::new() } else { format!("Computing; {left} to come …") };
        write("starts-note", &note);
        self.show_starts();
    }

    /// Starts of another experiment than that of the form are no longer shown.
    pub(super) fn forget_starts(&mut self) {
        if self.inspected.as_ref().is_some_and(|inspected| *inspected != self.full()) {
            (self.inspected, self.starts) = (None, vec![]);
            write("starts-note", "");
            self.show_starts();
        }
    }

    pub(super) fn show_starts(&mut self) {
        let starts: Vec<&SchemeStart> = self.starts.iter().collect();
        hide("starts-found", starts.is_empty());
        fill("starts-words", &starts_words(&starts));
        fill("starts-table", &starts_table(&starts));
        fill("starts-layers", &starts_layers(&starts));
        let figure = spectra(&starts);
        self.spots[3] = drawn("spectra", figure);
    }
}
