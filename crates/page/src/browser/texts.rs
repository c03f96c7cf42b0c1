//! What the base and the chosen run write.

use loralab_experiment::Ask;
use loralab_page::panel::Written;

use super::{
    dom,
    page::{Page, State},
    worker,
};

/// Most bytes that a base or an adapter writes.
const TEXT: usize = 80;

impl Page {
    /// Has both go on from the prompt.
    pub(super) fn write_texts(&mut self) {
        let Some(sweep) = &self.sweep else { return };
        let cell = self.chosen.clone().filter(|cell| sweep.adapter(cell).is_some()).or_else(|| sweep.best().cloned());
        let Some(adapter) = cell.and_then(|cell| sweep.adapter(&cell)).filter(|_| self.state == State::Waiting) else {
            return;
        };
        let base = sweep.experiment.base.clone().unwrap_or_else(|| "tiny".to_owned());
        // Of results from elsewhere the base may not be here.
        if !self.has_base(&base) {
            return;
        }
        let prompt = dom::value("prompt");
        let ask = |adapter| Ask::Write { base: base.clone(), adapter, prompt: prompt.clone(), count: TEXT };
        worker::ask(&self.worker, &ask(None));
        worker::ask(&self.worker, &ask(Some(adapter.clone())));
        let run = Some((adapter.cell.clone(), "…".to_owned()));
        self.written = Written { prompt, base: None, run };
        self.show_texts();
    }
}
