//! The sweep of an earlier visit, and going on with one that was cut short: by the end of that visit, or by the loss of the GPU.

use loralab_experiment::Ask;
use loralab_page::Sweep;
use wasm_bindgen_futures::spawn_local;

use super::{
    dom::{self, hide, now, say, write},
    page::{Page, State},
    worker,
};

impl Page {
    /// Offers what an earlier visit left.
    pub fn offer(&mut self, kept: String) {
        // One that was cut short before its first evaluation can be gone on with, too.
        let worth = |sweep: &Sweep| sweep.record.has_news() || sweep.snapshot.is_some();
        let Some(sweep) = Sweep::restored(&kept).filter(|sweep| worth(sweep) && self.sweep.is_none()) else { return };
        let mut names: Vec<&str> = vec![];
        for run in sweep.record.results() {
            if !names.contains(&&*run.cell.scheme) {
                names.push(&run.cell.scheme);
            }
        }
        let when = match (&sweep.record.complete, &sweep.snapshot) {
            (Some(true), _) => "done".to_owned(),
            (_, Some(snapshot)) => {
                format!("cut short, and kept after step {} of {}", snapshot.step, sweep.record.steps)
            }
            _ => "cut short".to_owned(),
        };
        hide("go-on", sweep.snapshot.is_none());
        write(
            "kept-words",
            &format!(
                "Your last sweep is kept in this browser ({}; {} runs, {when}).",
                names.join(", "),
                sweep.record.runs
            ),
        );
        hide("kept", false);
        self.kept = Some(sweep);
    }

    pub(super) fn restore(&mut self) {
        if self.is_training() {
            say("A training is under way; stop it before another sweep is shown.");
            return;
        }
        hide("kept", true);
        if let Some(sweep) = self.kept.take() {
            say("This is your last sweep. Run trains it anew.");
            self.show_sweep(sweep);
        }
    }

    pub(super) fn forget(&mut self) {
        hide("kept", true);
        self.kept = None;
        spawn_local(async {
            // What was not kept need not be forgotten.
            let _ = dom::wait("forget", &[]).await;
        });
    }

    /// Goes on with the sweep of an earlier visit.
    pub(super) fn go_on(&mut self) {
        if self.state != State::Waiting {
            say("Wait until the page is ready, or stop the training, before another is gone on with.");
            return;
        }
        let Some(sweep) = self.kept.take() else { return };
        hide("kept", true);
        self.show_sweep(sweep);
        self.lost_at = None;
        self.train_on();
    }

    /// The GPU was lost. Goes on from the last snapshot, unless nothing was done since it was last lost.
    pub(super) fn lost(&mut self, reason: &str) {
        let reason = reason.trim_end_matches('.');
        let at = self.sweep.as_ref().and_then(|sweep| sweep.snapshot.as_ref()).map(|snapshot| snapshot.step);
        if at.is_none() || at == self.lost_at {
            self.refuse(reason);
            return;
        }
        self.lost_at = at;
        self.recovers = true;
        self.begin_worker();
        say(&format!("{reason}. Going on from step {} once a GPU is found …", at.unwrap_or(0)));
    }

    /// Has the worker go on from the sweep's snapshot.
    pub(super) fn train_on(&mut self) {
        let base = self.sweep.as_ref().and_then(|sweep| sweep.experiment.base.clone());
        if let Some(name) = base.filter(|name| !self.has_base(name)) {
            say(&format!(
                "The base {name} is not in the page; bring its file at `base`, then reload the page to go on."
            ));
            return;
        }
        let Some(sweep) = self.sweep.as_ref().and_then(|sweep| sweep.as_of_snapshot()) else { return };
        let Some(snapshot) = &sweep.snapshot else { return };
        let (step, from) = (snapshot.step, Some(snapshot.file.clone()));
        let began = sweep.record.summary().setting.device;
        let elsewhere = self.place.as_ref().is_some_and(|(device, _)| *device != began);
        let elsewhere =
            if elsewhere { format!(" It began on {began}, so its last digits may differ.") } else { String::new() };
        for event in sweep.events() {
            self.progress.hear(&event, now());
        }
        self.progress.go_on(now());
        let data = sweep.data.as_ref().map(|file| file.text.clone());
        worker::ask(&self.worker, &Ask::Train { experiment: self.lean(&sweep.experiment), data, from });
        self.sweep = Some(sweep);
        self.turn(State::Training);
        say(&format!("Going on from step {step}.{elsewhere} {}", self.progress.task()));
        self.draw_all();
        self.show_progress();
    }
}
