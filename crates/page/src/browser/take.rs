//! Downloads and copies from the page, and the storage of a sweep for the next visit.

use js_sys::{Array, Uint8Array};
use loralab_experiment::{Device, Experiment, Link, command};
use loralab_figure::results;
use loralab_page::{News, panel::Taken, zip};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;
use web_sys::{Element, HtmlElement};

use super::{
    dom::{self, element, hide, now, renew, say, write},
    page::Page,
    with_page,
};

/// Seconds between two writes to the store while a sweep is under way.
const KEEP_EVERY: f64 = 3.0;

impl Page {
    /// A button of the panel was pressed.
    pub(super) fn take(&mut self, name: &str) {
        let Some(taken) = Taken::named(name) else { return };
        match taken {
            Taken::Link => self.copy(place() + &self.query()),
            Taken::Command => self.copy(command(&self.full(), self.device)),
            Taken::Toml => self.download_settings(&self.experiment),
            _ => self.take_results(taken),
        }
    }

    fn take_results(&mut self, taken: Taken) {
        if matches!(taken, Taken::Jsonl | Taken::Folder) {
            // The log is with what is kept, and so is all of it then.
            self.add(JsValue::UNDEFINED);
        }
        let Some(sweep) = &self.sweep else { return };
        match taken {
            Taken::ItsLink => self.copy(place() + &Link::query(&self.lean(&sweep.experiment))),
            Taken::ItsCommand => self.copy(command(&self.lean(&sweep.experiment), Device::Auto)),
            Taken::ItsToml => self.download_settings(&sweep.experiment),
            Taken::Jsonl => spawn_local(async {
                if let Err(error) = dom::wait("saveLog", &[]).await {
                    say(&format!("metrics.jsonl can't be saved: {}.", dom::words(&error)));
                }
            }),
            Taken::Csv => self.download("metrics.csv", "text/csv", sweep.csv().as_bytes()),
            Taken::Svg | Taken::CurvesSvg => {
                let (name, figure) = match taken {
                    Taken::Svg => ("loss_by_learning_rate.svg", sweep.headline()),
                    // Those that are shown.
                    _ => {
                        let rate = self.chosen.as_ref().map(|cell| cell.learning_rate);
                        ("training_curves.svg", sweep.curves(rate).or_else(|_| sweep.curves(None)))
                    }
                };
                match figure {
                    Ok(figure) => self.download(name, "image/svg+xml", figure.svg.as_bytes()),
                    Err(error) => say(&error.to_string()),
                }
            }
            Taken::Png | Taken::CurvesPng => {
                let (id, name) = match taken {
                    Taken::Png => ("figure", "loss_by_learning_rate.png"),
                    _ => ("curves", "training_curves.png"),
                };
                let Some(svg) = element::<Element>(id).first_element_child() else { return };
                spawn_local(async move {
                    if let Err(error) = dom::wait("png", &[svg.into(), JsValue::from_str(name)]).await {
                        say(&format!("The chart can't be drawn as pixels: {}.", dom::words(&error)));
                    }
                });
            }
            Taken::Adapter => {
                if let Ok(files) = sweep.shown_adapter(self.chosen.as_ref()) {
                    let id = files.cell.id();
                    self.download(
                        &format!("{id}.zip"),
                        "application/zip",
                        &zip(&results::adapter(&id, &files.config, &files.tensors.0)),
                    );
                }
            }
            Taken::Folder => spawn_local(async {
                let log = dom::wait("log", &[]).await;
                with_page(|page| page.download_folder(log));
            }),
            Taken::Link | Taken::Command | Taken::Toml => {}
        }
    }

    fn download_folder(&self, log: Result<JsValue, JsValue>) {
        let Some(sweep) = &self.sweep else { return };
        match log {
            Ok(parts) => {
                let log = Array::from(&parts).iter().filter_map(|part| part.as_string()).collect::<String>();
                let experiment = sweep.known.then(|| self.written_out(&sweep.experiment));
                let files = sweep.folder(experiment.as_ref(), log.into_bytes());
                self.download("results.zip", "application/zip", &zip(&files));
            }
            Err(error) => say(&format!("The log of this sweep can't be read: {}.", dom::words(&error))),
        }
    }

    fn download_settings(&self, experiment: &Experiment) {
        let (name, contents) = results::settings(&self.written_out(experiment));
        self.download(&name, "text/plain", &contents);
    }

    /// An experiment with every setting written out, as the binary writes it.
    fn written_out(&self, experiment: &Experiment) -> Experiment {
        let known = self.known();
        experiment.resolve(&known).map_or_else(|_| experiment.clone(), |resolved| resolved.to_experiment())
    }

    fn download(&self, name: &str, kind: &str, bytes: &[u8]) {
        let data = Uint8Array::from(bytes);
        let told = dom::call("download", &[JsValue::from_str(name), JsValue::from_str(kind), data.into()]);
        if let Err(error) = told {
            say(&format!("{name} can't be saved: {}.", dom::words(&error)));
        }
    }

    /// Copies a text, and shows it: a browser may forbid the one, but not the other.
    pub(super) fn copy(&self, text: String) {
        write("copied", &text);
        element::<HtmlElement>("copied").set_hidden(false);
        spawn_local(async move {
            match dom::wait("copy", &[JsValue::from_str(&text)]).await {
                Ok(_) => say("Copied."),
                Err(_) => say("The browser does not let the page copy; the text stands under Take away."),
            }
        });
    }

    /// A sweep has begun, which is to be kept for another visit, or, as one that comes from files, only until the tab is closed.
    pub(super) fn begin_keeping(&self, kept: bool) {
        let Some(sweep) = &self.sweep else { return };
        let data = sweep.data.as_ref().map_or(JsValue::UNDEFINED, |data| JsValue::from_str(&data.text));
        let arguments = [JsValue::from_str(&sweep.head()), data, JsValue::from_bool(kept)];
        spawn_local(async move { tell_unkept(dom::wait("begin", &arguments).await) });
    }

    /// Keeps what is new of the sweep, now and then.
    pub(super) fn keep(&mut self) {
        if now() - self.stored >= KEEP_EVERY {
            self.add(JsValue::UNDEFINED);
        }
    }

    /// Keeps the worker's state as of now, and what led to it.
    pub(super) fn keep_state(&mut self, step: usize, bytes: &JsValue) {
        if let Some(sweep) = &mut self.sweep {
            sweep.snapshot = Some(step);
            self.add(Array::of2(&JsValue::from_f64(step as f64), bytes).into());
        }
    }

    /// Adds what is new of the sweep to what is kept of it: with a state, with null where there is none any more, or with undefined where it stays.
    pub(super) fn add(&mut self, state: JsValue) {
        let Some(sweep) = &mut self.sweep else { return };
        self.stored = now();
        let News { log, adapters } = sweep.news();
        if log.is_empty() && adapters.is_empty() && state.is_undefined() {
            return;
        }
        let adapters: Array = adapters.iter().map(|adapter| JsValue::from_str(adapter)).collect();
        let about = serde_json::to_string(&sweep.about()).expect("it is JSON");
        let arguments = [JsValue::from_str(&log), adapters.into(), JsValue::from_str(&about), state];
        spawn_local(async move { tell_unkept(dom::wait("add", &arguments).await) });
    }
}

/// Says why a sweep is not kept, if so.
fn tell_unkept(told: Result<JsValue, JsValue>) {
    let why = told.map_or_else(|error| Some(dom::words(&error)), |why| why.as_string()).filter(|why| !why.is_empty());
    let text = why.map(|why| {
        format!(
            "From here on this sweep is not kept for another visit: {why}. It goes on, and its results are in this tab until it is closed; take them away before."
        )
    });
    hide("unkept", text.is_none());
    renew("unkept", &text.unwrap_or_default());
}

/// The page's address without its query.
fn place() -> String {
    let address = dom::window().location();
    address.origin().and_then(|origin| Ok(origin + &address.pathname()?)).unwrap_or_default()
}
