//! The page's end in the browser: the elements of `index.html`, the address, and the worker.

use std::{cell::RefCell, mem, panic};

use loralab_experiment::{Event, Message, Summary};
use loralab_page::{Device, LARGEST_SEEDS, LARGEST_STEPS, Progress, Request, Table, duration, of_losses, of_schemes};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{
    Document, Element, ErrorEvent, HtmlButtonElement, HtmlElement, HtmlInputElement, HtmlProgressElement, MessageEvent,
    SubmitEvent, Window, Worker, WorkerOptions, WorkerType,
};

thread_local! {
    static PAGE: RefCell<Option<Page>> = const { RefCell::new(None) };
}

/// What the page knows.
struct Page {
    /// The worker that trains, or waits to.
    worker: Worker,
    device: Device,
    state: State,
    /// Whether the button that was pressed last, `Stop`, can no longer hold the focus.
    stopped: bool,
    /// What the address asks to be trained at once.
    asked: Option<Request>,
    progress: Progress,
    /// How the schemes stood when last told, after how many steps.
    standing: Option<(usize, Summary)>,
}

/// What the worker does.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Loading,
    Waiting,
    Training,
}

/// Opens the page.
pub fn open() {
    panic::set_hook(Box::new(|fault| {
        say(&format!("The page has a fault and can't go on; reload it. {fault}"));
    }));
    let request = Request::from_query(&window().location().search().unwrap_or_default());
    let shown = request.clone().unwrap_or_default();
    input("seeds", shown.seeds, LARGEST_SEEDS);
    input("steps", shown.steps as u64, LARGEST_STEPS as u64);
    if let Err(reason) = &request {
        say(reason);
    }
    let asked = request.ok().filter(|request| request.run);
    let page = Page {
        worker: start_worker(shown.device),
        device: shown.device,
        state: State::Loading,
        stopped: false,
        asked,
        progress: Progress::default(),
        standing: None,
    };
    PAGE.set(Some(page));
    on("form", "submit", |event: SubmitEvent| {
        event.prevent_default();
        with_page(|page| {
            let (seeds, steps) = (number("seeds"), number("steps") as usize);
            page.train(Request { seeds, steps, run: false, device: page.device });
        });
    });
    on("stop", "click", |_: web_sys::Event| with_page(Page::stop));
}

impl Page {
    fn train(&mut self, request: Request) {
        if self.state != State::Waiting {
            return;
        }
        self.state = State::Training;
        self.standing = None;
        self.progress = Progress::default();
        let experiment = serde_json::to_string(&request.experiment()).expect("an experiment is JSON");
        self.worker.post_message(&JsValue::from_str(&experiment)).expect("a text can be posted");
        // The address becomes a link to what is trained.
        let history = window().history().expect("a window has a history");
        // A page opened from a file has an address that can't be changed; it then has no link.
        let _ = history.replace_state_with_url(&JsValue::NULL, "", Some(&request.query()));
        say("Preparing …");
        write("sentence", "");
        for part in ["results", "schemes"] {
            hide(part, true);
        }
        self.show_progress(true);
        enable("run", false);
        enable("stop", true);
    }

    fn stop(&mut self) {
        self.end_worker();
        self.begin_worker();
        let (what, conclusion) = match &self.standing {
            Some((step, _)) => (
                format!("Stopped. Last evaluated after {step} steps."),
                "The losses below are those on the way; the learning rates had not yet come down to zero.",
            ),
            None => ("Stopped before the first evaluation.".to_owned(), ""),
        };
        self.finish(&what, conclusion);
        self.stopped = true;
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Ready => {
                self.state = State::Waiting;
                enable("run", true);
                if mem::take(&mut self.stopped) {
                    // A page in the background gets no focus, and needs none.
                    let _ = element::<HtmlElement>("run").focus();
                }
                if element::<Element>("status").text_content().is_some_and(|text| text.starts_with("Loading")) {
                    say("Ready.");
                }
                if let Some(request) = self.asked.take() {
                    self.train(request);
                }
            }
            Message::Event { event } => self.happened(&event),
            Message::Standing { step, summary, figure } => {
                if let Some(figure) = figure {
                    element::<Element>("figure").set_inner_html(&figure);
                }
                fill("losses", &of_losses(&summary, step, self.progress.steps()));
                hide("results", false);
                self.standing = Some((step, summary));
            }
            Message::Refused { reason } => self.refuse(&reason),
        }
    }

    fn happened(&mut self, event: &Event) {
        self.progress.hear(event, now());
        match event {
            Event::Started { .. } => say(&self.progress.task()),
            Event::Step { .. } => self.show_progress(true),
            Event::Finished { seconds, .. } => {
                let told = self.standing.as_ref().map(|(_, summary)| {
                    fill("schemes", &of_schemes(summary));
                    hide("schemes", false);
                    (format!(" on {}", summary.setting.device), summary.sentence())
                });
                let (place, sentence) = told.unwrap_or_default();
                self.state = State::Waiting;
                self.finish(&format!("Done in {}{place}.", duration(*seconds)), &sentence);
                enable("run", true);
            }
            _ => {}
        }
    }

    /// Ends the sweep on the page; what is drawn stays.
    fn finish(&self, what: &str, conclusion: &str) {
        say(what);
        // Names and rates are not to be broken at their hyphens.
        write("sentence", &conclusion.replace('-', "\u{2011}"));
        self.show_progress(false);
        enable("stop", false);
    }

    fn refuse(&mut self, reason: &str) {
        // One that could not be loaded will not be so at the next try.
        let again = self.state != State::Loading;
        self.end_worker();
        self.finish(&format!("Not trained: {}.", reason.trim_end_matches('.')), "");
        if again {
            self.begin_worker();
        }
    }

    fn begin_worker(&mut self) {
        self.worker = start_worker(self.device);
        self.state = State::Loading;
    }

    /// Ends the worker, which may have messages on their way.
    fn end_worker(&mut self) {
        self.worker.set_onmessage(None);
        self.worker.set_onerror(None);
        self.worker.terminate();
        enable("run", false);
    }

    fn show_progress(&self, under_way: bool) {
        element::<HtmlProgressElement>("progress").set_value(self.progress.share());
        hide("progress", !under_way);
        write("pace", &if under_way { self.progress.pace(now()) } else { String::new() });
    }
}

/// Starts a worker that waits for an experiment; one that was ended does not come back.
fn start_worker(device: Device) -> Worker {
    let options = WorkerOptions::new();
    options.set_type(WorkerType::Module);
    let worker = Worker::new_with_options(&format!("start.js?{}", device.query()), &options)
        .expect("a browser that runs this has workers");
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(|event: MessageEvent| {
        let text = event.data().as_string().unwrap_or_default();
        with_page(|page| match serde_json::from_str(&text) {
            Ok(message) => page.hear(message),
            Err(error) => {
                page.refuse(&format!("the worker said what the page doesn't understand ({error}); reload the page"));
            }
        });
    });
    let on_error = Closure::<dyn FnMut(web_sys::Event)>::new(|event: web_sys::Event| {
        let why = event.dyn_ref::<ErrorEvent>().map(|error| format!(" ({})", error.message())).unwrap_or_default();
        with_page(|page| page.refuse(&format!("the training code could not be loaded{why}; reload the page")));
    });
    worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
    // They live as long as the page; a worker is started per stop, by hand.
    on_message.forget();
    on_error.forget();
    worker
}

fn with_page(act: impl FnOnce(&mut Page)) {
    PAGE.with_borrow_mut(|page| page.as_mut().map(act));
}

fn window() -> Window {
    web_sys::window().expect("the page runs in a window")
}

fn document() -> Document {
    window().document().expect("a window has a document")
}

/// Seconds since some moment.
fn now() -> f64 {
    window().performance().map_or(0.0, |clock| clock.now() / 1000.0)
}

fn element<T: JsCast>(id: &str) -> T {
    let found = document().get_element_by_id(id).unwrap_or_else(|| panic!("index.html has no element `{id}`"));
    found.unchecked_into()
}

fn on<T: JsCast + wasm_bindgen::convert::FromWasmAbi + 'static>(id: &str, event: &str, act: impl FnMut(T) + 'static) {
    let listener = Closure::<dyn FnMut(T)>::new(act);
    let added = element::<Element>(id).add_event_listener_with_callback(event, listener.as_ref().unchecked_ref());
    added.expect("any element takes a listener");
    // It listens for as long as the page is open.
    listener.forget();
}

fn write(id: &str, text: &str) {
    element::<Element>(id).set_text_content(Some(text));
}

/// Writes what screen readers read out.
fn say(text: &str) {
    write("status", text);
}

fn hide(id: &str, hidden: bool) {
    element::<HtmlElement>(id).set_hidden(hidden);
}

fn enable(id: &str, enabled: bool) {
    element::<HtmlButtonElement>(id).set_disabled(!enabled);
}

fn input(id: &str, value: u64, largest: u64) {
    let field: HtmlInputElement = element(id);
    field.set_max(&largest.to_string());
    field.set_value(&value.to_string());
}

/// What stands in a field, which the browser has held to its range.
fn number(id: &str) -> u64 {
    element::<HtmlInputElement>(id).value_as_number() as u64
}

/// Fills a table; the first cell of a row names it.
fn fill(id: &str, table: &Table) {
    let made = |kind: &str, text: &str, scope: Option<&str>| -> Element {
        let made = document().create_element(kind).expect("every browser has tables");
        made.set_text_content(Some(text));
        if let Some(scope) = scope {
            made.set_attribute("scope", scope).expect("an attribute can be set");
        }
        // The colours of the figure.
        match text {
            "init-a" => made.set_class_name("a"),
            "init-b" => made.set_class_name("b"),
            _ => {}
        }
        made
    };
    let append = |to: &Element, child: &Element| drop(to.append_child(child).expect("an element takes children"));
    let element: Element = element(id);
    element.set_text_content(None);
    append(&element, &made("caption", &table.caption, None));
    let (head, body) = (made("thead", "", None), made("tbody", "", None));
    let row = made("tr", "", None);
    table.head.iter().for_each(|text| append(&row, &made("th", text, Some("col"))));
    append(&head, &row);
    for texts in &table.rows {
        let row = made("tr", "", None);
        for (column, text) in texts.iter().enumerate() {
            append(&row, &if column == 0 { made("th", text, Some("row")) } else { made("td", text, None) });
        }
        append(&body, &row);
    }
    append(&element, &head);
    append(&element, &body);
}
