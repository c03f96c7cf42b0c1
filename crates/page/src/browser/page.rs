//! The state of the page, and its changes by events.

use loralab_experiment::{Blob, Cell, Device, Event, Experiment, Link, LinkFault, Message, Request, SchemeStart};
use loralab_figure::Spot;
use loralab_page::{
    File, Progress, SchemeInfo, Sweep, duration, memory,
    panel::{Written, check},
    schemes,
};
use wasm_bindgen::JsValue;
use web_sys::{HtmlInputElement, Worker};

use super::{
    dom::{self, element, enable, fill, hide, now, say, write},
    draw::{Part, Stale},
    load::{AWAITED, LOADING},
    with_page, worker,
};

/// Milliseconds that a worker has to stop before it is terminated.
const GRACE: i32 = 90;

/// The state of the page.
pub struct Page {
    /// The worker that trains, or waits to.
    pub(super) worker: Worker,
    pub(super) device: Device,
    /// The worker's device, and true if it is a GPU.
    pub(super) place: Option<(String, bool)>,
    pub(super) state: State,
    /// The training that the worker is asked for as soon as it is loaded.
    pub(super) pending: Option<Request>,
    /// The experiment in the form.
    pub(super) experiment: Experiment,
    pub(super) text: Option<File>,
    pub(super) base: Option<OwnBase>,
    /// The settings that are not right, each with what is wrong.
    pub(super) wrong: Vec<(String, String)>,
    /// Those of them that the experiment has no value for, each with the text of its field.
    pub(super) unread: Vec<(String, String)>,
    pub(super) schemes: Vec<SchemeInfo>,
    pub(super) sweep: Option<Sweep>,
    /// The sweep that was shown before the one that is about to start.
    pub(super) before: Option<Sweep>,
    pub(super) progress: Progress,
    /// The run that was chosen in the grid.
    pub(super) chosen: Option<Cell>,
    pub(super) written: Written,
    /// The adapter whose features are shown; none for all of them.
    pub(super) adapter: Option<String>,
    /// The values of the figures, for the pointer.
    pub(super) spots: [Vec<Spot>; 4],
    /// The parts to draw again.
    pub(super) stale: Stale,
    /// The starts received so far, and their experiment.
    pub(super) starts: Vec<SchemeStart>,
    pub(super) inspected: Option<Experiment>,
    /// When the sweep was last kept.
    pub(super) stored: f64,
    /// The id of a sweep from an earlier visit.
    pub(super) kept: Option<String>,
    /// True if the worker that is being loaded is to go on with the sweep, and what the last one had lost.
    pub(super) recovers: bool,
    /// Steps after which the GPU was last lost.
    pub(super) lost_at: Option<usize>,
    report: String,
}

/// A base that the visitor brought.
pub struct OwnBase {
    /// Its file's name.
    pub name: String,
    /// The contents of the file.
    pub file: Blob,
    /// True if a worker has accepted it.
    pub taken: bool,
}

impl OwnBase {
    /// The request that gives it to a worker.
    pub fn request(&self) -> Request {
        Request::Base { name: self.name.clone(), file: self.file.clone() }
    }
}

/// The state of the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Loading,
    /// It could not be loaded.
    Missing,
    Waiting,
    Training,
    /// Between being told to wait and waiting.
    Pausing,
    Paused,
    Stopping,
}

impl Page {
    /// Reads the address, shows the experiment there, and starts a worker.
    pub fn open() -> Self {
        let link = Link::parse(&dom::window().location().search().unwrap_or_default());
        let said: Vec<String> = link.faults.iter().map(LinkFault::to_string).collect();
        if !said.is_empty() {
            say(&said.join(" "));
        }
        let device = link.device.or_else(|| Device::named(&dom::remembered_device()?)).unwrap_or_default();
        dom::remember_device(device.name());
        element::<HtmlInputElement>("device").set_value(device.name());
        let unread = link.faults.iter().filter_map(|fault| match fault {
            LinkFault::Value { name, text, .. } => Some(((*name).to_owned(), text.clone())),
            _ => None,
        });
        let mut page = Self {
            worker: worker::start(device),
            device,
            place: None,
            state: State::Loading,
            pending: None,
            experiment: link.experiment,
            text: None,
            base: None,
            wrong: vec![],
            unread: unread.collect(),
            schemes: schemes(),
            sweep: None,
            before: None,
            progress: Progress::default(),
            chosen: None,
            written: Written::default(),
            adapter: None,
            spots: [vec![], vec![], vec![], vec![]],
            stale: Stale::default(),
            starts: vec![],
            inspected: None,
            stored: 0.0,
            kept: None,
            recovers: false,
            lost_at: None,
            report: String::new(),
        };
        page.show_form();
        page.show_take();
        page.turn(State::Loading);
        // A link with faults is not trained at once: the person sees the form first.
        if said.is_empty() {
            match page.wrong.first() {
                Some((_, wrong)) => say(&format!("The link's experiment can't be run: {wrong}")),
                None => say(LOADING),
            }
            if link.run {
                page.train();
            }
        }
        page
    }

    /// True if closing the page would lose something.
    pub fn is_training(&self) -> bool {
        self.pending.is_some() || !matches!(self.state, State::Loading | State::Missing | State::Waiting)
    }

    /// A button was pressed.
    pub fn press(&mut self, what: &str, name: &str, rate: &str) {
        match what {
            "run" => self.train(),
            "inspect" => self.inspect(),
            "pause" if self.state == State::Paused => self.resume(),
            "pause" => self.pause(),
            "step" => self.step(),
            "stop" => self.stop(),
            "preset" => self.preset(name),
            "reset" => self.reset(name),
            "choose" => self.choose(name, rate),
            "take" => self.take(name),
            "write" => self.write_texts(),
            "check" => self.check(),
            "copy-report" => self.copy(self.report.clone()),
            "restore" => self.restore(),
            "go-on" => self.go_on(),
            "forget" => self.forget(),
            _ => {}
        }
    }

    fn train(&mut self) {
        if self.is_training() || self.recovers || !self.can_begin("trained") {
            return;
        }
        let sweep = Sweep::new(self.experiment.clone(), self.text.clone().filter(|_| self.experiment.data.is_some()));
        let data = sweep.data.as_ref().map(|file| file.text.clone());
        let request = Request::Train { experiment: self.full(), data, from: None };
        self.before = self.sweep.replace(sweep);
        self.progress = Progress::default();
        self.chosen = None;
        self.written = Written::default();
        if self.state == State::Missing {
            self.begin_worker();
        }
        if self.state == State::Loading {
            self.pending = Some(request);
            self.turn(State::Loading);
            say(AWAITED);
        } else {
            self.hand_over(&request);
        }
        // The sweep of an earlier visit stays in the store, and is offered again at the next.
        hide("kept", true);
        self.kept = None;
        for part in ["results", "inside", "writing"] {
            hide(part, true);
        }
        hide("empty", false);
        write("empty", "The first losses come with the first evaluation.");
        self.show_progress();
        self.show_take();
        self.address();
    }

    fn pause(&mut self) {
        if self.state == State::Training {
            worker::send(&self.worker, &Request::Pause);
            self.turn(State::Pausing);
            say("Pausing after this step …");
        }
    }

    fn resume(&mut self) {
        self.progress.resume(now());
        worker::send(&self.worker, &Request::Resume);
        self.turn(State::Training);
        say(&self.progress.task());
    }

    fn step(&mut self) {
        let request = if self.state == State::Training { Request::Pause } else { Request::Step };
        if matches!(self.state, State::Training | State::Paused) {
            self.progress.resume(now());
            worker::send(&self.worker, &request);
            self.turn(State::Pausing);
            say("One step …");
        }
    }

    fn stop(&mut self) {
        if !self.is_training() || self.state == State::Stopping {
            return;
        }
        if self.pending.take().is_some() {
            self.turn(State::Loading);
            say("Stopped.");
            self.give_back();
            return;
        }
        self.turn(State::Stopping);
        say("Stopping …");
        worker::send(&self.worker, &Request::Stop);
        // One that is in the middle of a long step hears nothing; all that it has told is here.
        dom::after(GRACE, || {
            with_page(|page| {
                if page.state == State::Stopping {
                    page.begin_worker();
                    let seconds = page.progress.gone(now());
                    page.happened(&Event::Finished { complete: false, seconds, unwritten: vec![] }, now());
                }
            });
        });
    }

    /// Something that the worker tells.
    pub fn receive(&mut self, message: Message, bytes: JsValue) {
        match message {
            Message::Ready { device, gpu } => self.ready(device, gpu),
            Message::Base { name, weights } => self.base_taken(&name, weights),
            Message::Building { done, of } => self.show_building(done, of),
            Message::Memory { cohorts, runs, shared, per_run } => {
                write("memory-note", &memory(cohorts, runs, shared, per_run));
            }
            Message::Start { start, left } => self.started(start, left),
            Message::Events { events } => {
                // One time for all, as nobody knows when each of them was.
                let now = now();
                for event in &events {
                    self.happened(event, now);
                }
                self.show_progress();
            }
            Message::Adapter { files } => {
                if let Some(sweep) = &mut self.sweep {
                    sweep.adapters.push(files);
                }
            }
            Message::Snapshot { step, .. } => self.keep_state(step, &bytes),
            Message::Lost { reason } => self.lost(&reason),
            Message::Paused { step } => {
                self.progress.pause(now());
                if self.state == State::Pausing {
                    self.turn(State::Paused);
                    say(&format!("Paused after step {step}."));
                }
            }
            Message::Text { cell: None, text } => {
                self.written.base = Some(text);
                self.show_texts();
            }
            // Another run may have been chosen since it was asked.
            Message::Text { cell: Some(cell), .. } if self.written.run.as_ref().is_none_or(|(of, _)| *of != cell) => {}
            Message::Text { cell: Some(cell), text } => {
                self.written.run = Some((cell, Ok(text)));
                self.show_texts();
            }
            Message::Checked { passed, report } => {
                fill("check", &check(passed, &report));
                self.report = report;
                enable("check-button", true);
            }
            Message::Refused { reason } => self.refuse(&reason),
        }
    }

    /// Takes in an event of a message that came `now`; what looks different for it is drawn soon.
    fn happened(&mut self, event: &Event, now: f64) {
        self.progress.apply(event, now);
        let Some(sweep) = &mut self.sweep else { return };
        sweep.apply(event);
        match event {
            Event::Started { .. } => {
                self.before = None;
                self.begin_keeping(true);
                say(&self.progress.task());
            }
            Event::Step { .. } => self.changed_parts(&[Part::Curves, Part::Keep]),
            Event::Evaluation { .. } | Event::Diverged { .. } => self.changed_parts(&Part::ALL),
            Event::Diagnosis { .. } => self.changed_parts(&Part::INSIDE),
            Event::Finished { complete, seconds, .. } => {
                let device = sweep.record.summary().setting.device;
                let said = match complete {
                    true => format!("Done in {} on {device}.", duration(*seconds)),
                    false => "Stopped.".to_owned(),
                };
                // A worker that was ended for it is still being loaded anew.
                if self.state != State::Loading {
                    self.turn(State::Waiting);
                }
                self.draw_then_say(said);
                self.add(JsValue::NULL);
                self.write_texts();
            }
            _ => {}
        }
    }

    /// Goes into a state, and lets the buttons show it.
    pub(super) fn turn(&mut self, state: State) {
        self.state = state;
        let training = self.is_training();
        let held = document_focus();
        enable("run", !training && !self.recovers);
        enable("pause", matches!(state, State::Training | State::Paused));
        enable("step", matches!(state, State::Training | State::Paused));
        enable("stop", training && state != State::Stopping);
        write("pause", if state == State::Paused { "Resume" } else { "Pause" });
        enable("inspect", state == State::Waiting);
        if state != State::Waiting {
            // Whoever computes starts leaves off.
            write("starts-note", "");
        }
        enable("write-button", state == State::Waiting);
        enable("check-button", state == State::Waiting && self.place.as_ref().is_some_and(|(_, gpu)| *gpu));
        // A button that can't be pressed any more loses the focus; the next that can gets it.
        if ["run", "pause", "step", "stop"].contains(&held.as_str()) {
            let next = match state {
                State::Loading if training => "stop",
                State::Loading | State::Missing | State::Waiting => "run",
                State::Training | State::Paused if held == "run" => "pause",
                _ => return,
            };
            dom::focus(&element(next));
        }
    }

    // Kept sweeps, and results from elsewhere.

    /// Shows a sweep that is done.
    pub(super) fn show_sweep(&mut self, sweep: Sweep) {
        self.take_sweep(sweep);
        self.draw_all();
    }

    /// Has a sweep that is done in the place of the one before; what is seen of it is still to be drawn.
    fn take_sweep(&mut self, sweep: Sweep) {
        if sweep.known {
            self.unread.clear();
            self.experiment = sweep.experiment.clone();
            self.text.clone_from(&sweep.data);
        }
        self.chosen = None;
        self.written = Written::default();
        self.sweep = Some(sweep);
        self.show_form();
        self.address();
        self.write_texts();
    }

    /// Files of the native binary were chosen.
    pub fn open_results(&mut self, files: &[File]) {
        if self.is_training() {
            say("A training is under way; stop it before results are opened.");
            return;
        }
        match Sweep::opened(files) {
            Ok(sweep) => {
                let unknown = if sweep.known {
                    ""
                } else {
                    " Their settings are in `experiment.toml`, which is not among these files."
                };
                let said = format!("Opened: {} runs of {} steps.{unknown}", sweep.record.runs, sweep.record.steps);
                self.take_sweep(sweep);
                self.draw_then_say(said);
                self.begin_keeping(false);
                self.add(JsValue::UNDEFINED);
            }
            Err(reason) => say(&reason),
        }
    }

    fn check(&mut self) {
        fill("check", "<p>Checking; a software GPU takes a minute …</p>");
        enable("check-button", false);
        worker::send(&self.worker, &Request::Check);
    }
}

/// The id of the element with the focus.
fn document_focus() -> String {
    dom::document().active_element().map(|held| held.id()).unwrap_or_default()
}
