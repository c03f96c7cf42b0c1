//! What the base and the chosen run write.

use loralab_experiment::Request;
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
        // Of results from elsewhere there are none.
        if self.state != State::Waiting || sweep.adapters.is_empty() {
            return;
        }
        let adapter = sweep.shown_adapter(self.chosen.as_ref());
        let cell = self.chosen.clone().or_else(|| sweep.best().cloned());
        let base = sweep.experiment.base.clone().unwrap_or_else(|| "tiny".to_owned());
        // Of results from elsewhere the base may not be here.
        if !self.has_base(&base) {
            return;
        }
        let prompt = dom::value("prompt");
        let request = |adapter| Request::Write { base: base.clone(), adapter, prompt: prompt.clone(), count: TEXT };
        worker::send(&self.worker, &request(None));
        let text = match adapter {
            Ok(adapter) => {
                worker::send(&self.worker, &request(Some(adapter.clone())));
                Ok("…".to_owned())
            }
            Err(reason) => Err(reason),
        };
        self.written = Written { prompt, base: None, run: cell.map(|cell| (cell, text)) };
        self.show_texts();
    }
}
