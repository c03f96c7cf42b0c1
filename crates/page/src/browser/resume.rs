//! The sweep of an earlier visit, and going on with one that was cut short: by the end of that visit, or by the loss of the GPU.

use js_sys::Array;
use loralab_experiment::Request;
use loralab_page::{About, Progress, Sweep};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;

use super::{
    dom::{self, hide, now, say, write},
    page::{Page, State},
    with_page, worker,
};

impl Page {
    /// Offers the newest of what earlier visits left: pairs of an id and what is said about it.
    pub fn offer(&mut self, kept: &JsValue) {
        if self.sweep.is_some() {
            return;
        }
        for pair in Array::from(kept).iter().map(|pair| Array::from(&pair)) {
            let text = |place| pair.get(place).as_string().unwrap_or_default();
            let Ok(about) = serde_json::from_str::<About>(&text(1)) else { continue };
            let Some(words) = about.offer() else { continue };
            hide("go-on", about.snapshot.is_none());
            write("kept-words", &words);
            hide("kept", false);
            self.kept = Some(text(0));
            return;
        }
    }

    pub(super) fn restore(&mut self) {
        if self.is_training() {
            say("A training is under way; stop it before another sweep is shown.");
            return;
        }
        self.bring_kept(false);
    }

    pub(super) fn forget(&mut self) {
        hide("kept", true);
        let Some(id) = self.kept.take() else { return };
        spawn_local(async move {
            if let Err(error) = dom::wait("forget", &[JsValue::from_str(&id)]).await {
                say(&format!("That sweep can't be removed: {}.", dom::words(&error)));
            }
        });
    }

    /// Goes on with the sweep of an earlier visit.
    pub(super) fn go_on(&mut self) {
        if self.state != State::Waiting {
            say("Wait until the training code is loaded, or stop the training, before another is gone on with.");
            return;
        }
        self.lost_at = None;
        self.bring_kept(true);
    }

    fn bring_kept(&mut self, goes_on: bool) {
        if let Some(id) = self.kept.take() {
            hide("kept", true);
            say("Reading what is kept …");
            self.bring(Some(id), goes_on);
        }
    }

    /// Reads a sweep that is kept, or the one that is shown, and goes on with it or shows it.
    pub(super) fn bring(&self, id: Option<String>, goes_on: bool) {
        let of = id.as_ref().map_or(JsValue::UNDEFINED, |id| JsValue::from_str(id));
        spawn_local(async move {
            let found = dom::wait("take", &[of, JsValue::from_bool(goes_on)]).await;
            with_page(|page| page.brought(found, id.is_some(), goes_on));
        });
    }

    fn brought(&mut self, found: Result<JsValue, JsValue>, of_earlier: bool, goes_on: bool) {
        if self.is_training() {
            return;
        }
        let parts = match found {
            Ok(found) if found.is_undefined() => {
                return say("That sweep is gone, or another tab shows it.");
            }
            Ok(found) => Array::from(&found),
            Err(error) => return say(&format!("What is kept can't be read: {}.", dom::words(&error))),
        };
        let mut progress = Progress::default();
        let Some(sweep) = recalled(&parts, &mut progress) else {
            return say(
                "What is kept was written by a version of the page whose words have changed, and can't be shown.",
            );
        };
        let state = parts.get(5);
        if of_earlier {
            say("This is your last sweep. Run trains it anew.");
            self.show_sweep(sweep);
        } else {
            self.sweep = Some(sweep);
        }
        if goes_on {
            self.progress = progress;
            self.train_on(&state);
        }
    }

    /// The GPU was lost. Goes on from the last snapshot, unless nothing was done since it was last lost.
    pub(super) fn lost(&mut self, reason: &str) {
        let reason = reason.trim_end_matches('.');
        let at = self.sweep.as_ref().and_then(|sweep| sweep.snapshot);
        if at.is_none() || at == self.lost_at {
            self.refuse(reason);
            return;
        }
        self.lost_at = at;
        self.recovers = true;
        self.begin_worker();
        say(&format!("{reason}. Going on from step {} once a GPU is found …", at.unwrap_or(0)));
    }

    /// Has the worker go on from the sweep's state.
    fn train_on(&mut self, state: &JsValue) {
        let Some(sweep) = &self.sweep else { return };
        let Some(step) = sweep.snapshot else { return };
        if let Some(name) = sweep.experiment.base.as_ref().filter(|name| !self.has_base(name)) {
            say(&format!(
                "The base {name} is not in the page; bring its file at `base`, then reload the page to go on."
            ));
            return;
        }
        let began = sweep.summary().setting.device.clone();
        let elsewhere = self.place.as_ref().is_some_and(|(device, _)| *device != began);
        let elsewhere =
            if elsewhere { format!(" It began on {began}, so its last digits may differ.") } else { String::new() };
        let data = sweep.data.as_ref().map(|file| file.text.clone());
        let request = Request::Train { experiment: self.lean(&sweep.experiment), data, from: None };
        worker::send_with(&self.worker, &request, state);
        self.progress.go_on(now());
        self.turn(State::Training);
        say(&format!("Going on from step {step}.{elsewhere} {}", self.progress.task()));
        self.draw_all();
        self.show_progress();
    }
}

/// The sweep of what is kept, as `web/sweeps.js` gives it: head, text, log, adapters, steps of its state. None if words have changed since.
fn recalled(parts: &Array, progress: &mut Progress) -> Option<Sweep> {
    let mut sweep = Sweep::from_head(&parts.get(0).as_string()?, parts.get(1).as_string())?;
    let now = now();
    // One after the other, so that the whole is never here as a text.
    for log in Array::from(&parts.get(2)).iter() {
        sweep.recall(&log.as_string()?, |event| progress.apply(event, now))?;
    }
    for adapter in Array::from(&parts.get(3)).iter() {
        sweep.recall_adapter(&adapter.as_string()?)?;
    }
    sweep.snapshot = parts.get(4).as_f64().map(|step| step as usize);
    Some(sweep)
}
