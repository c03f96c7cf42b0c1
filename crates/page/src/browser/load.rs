//! The worker's arrival: what may be asked before it, and what becomes of that.

use loralab_experiment::{Device, Request};
use loralab_page::why_no_gpu;
use web_sys::Element;

use super::{
    dom::{self, element, say, write},
    page::{Page, State},
    worker,
};

/// The status while the worker is fetched and nothing else is to be said.
pub(super) const LOADING: &str = "Loading the training code; all else on the page can be used.";

/// The status while a training waits for that.
pub(super) const AWAITED: &str = "Loading the training code; the training begins once it is there.";

/// The status while the worker has a training and has not told of it yet.
const PREPARING: &str = "Preparing …";

/// The text in the place of results before there are any.
const NOTHING: &str = "Press Run, and the losses appear here while they fall.";

impl Page {
    /// The worker waits to be asked.
    pub(super) fn ready(&mut self, device: String, gpu: bool) {
        let agent = dom::window().navigator().user_agent().unwrap_or_default();
        write(
            "device-note",
            &match (gpu, self.device) {
                (false, Device::Auto | Device::Gpu) => why_no_gpu(&agent, self.device == Device::Gpu),
                _ => format!("Trains on: {device}."),
            },
        );
        self.place = Some((device, gpu));
        write("memory-note", "");
        if let Some(base) = &self.base {
            worker::send(&self.worker, &base.request());
        }
        let recovers = std::mem::take(&mut self.recovers);
        self.turn(State::Waiting);
        if element::<Element>("status").text_content().is_some_and(|text| text == LOADING) {
            say("Ready.");
        }
        // Not before, so that the copies do not delay the page. Without them, as in some private windows, nothing else is worse.
        let _ = dom::call("keepOffline", &[]);
        if let Some(request) = self.pending.take() {
            self.hand_over(&request);
        } else if recovers {
            self.bring(None, true);
        } else if self.written.prompt.is_empty() {
            self.write_texts();
        }
    }

    /// Has the worker train.
    pub(super) fn hand_over(&mut self, request: &Request) {
        worker::send(&self.worker, request);
        self.turn(State::Training);
        say(PREPARING);
    }

    /// Says why something can't be done, and starts afresh.
    pub fn refuse(&mut self, reason: &str) {
        // One that could not be loaded is tried again when it is wanted again.
        let again = self.state != State::Loading;
        (self.pending, self.recovers) = (None, false);
        // One that no worker takes is not offered to the next.
        self.base = self.base.take().filter(|base| base.taken);
        worker::end(&self.worker);
        self.turn(State::Missing);
        say(&format!("Not done: {}.", reason.trim_end_matches('.')));
        self.give_back();
        if again {
            self.begin_worker();
        }
    }

    /// A sweep that did not begin gives its place back.
    pub(super) fn give_back(&mut self) {
        self.show_progress();
        if self.sweep.as_ref().is_some_and(|sweep| !sweep.has_begun) {
            write("empty", NOTHING);
            self.sweep = self.before.take();
            self.draw_all();
            self.show_take();
        }
    }

    pub(super) fn begin_worker(&mut self) {
        worker::end(&self.worker);
        self.worker = worker::start(self.device);
        self.turn(State::Loading);
    }
}
