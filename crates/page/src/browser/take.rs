//! What is taken from the page, and what is kept for the next visit.

use js_sys::Uint8Array;
use loralab_experiment::{Experiment, command};
use loralab_page::{panel::Taken, peft, zip};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;
use web_sys::{Element, HtmlElement};

use super::{
    dom::{self, element, now, say, write},
    page::Page,
};

/// Seconds between two writes to the store while a sweep is under way.
const KEEP_EVERY: f64 = 3.0;

impl Page {
    /// A button of the panel was pressed.
    pub(super) fn take(&mut self, name: &str) {
        let Some(taken) = Taken::named(name) else { return };
        match taken {
            Taken::Link => {
                let address = dom::window().location();
                let place = address.origin().and_then(|origin| Ok(origin + &address.pathname()?)).unwrap_or_default();
                self.copy(place + &self.query());
            }
            Taken::Command => self.copy(command(&self.full(), self.device)),
            Taken::Toml => {
                let toml = self.written_out(&self.experiment).to_toml();
                self.download("experiment.toml", "text/plain", toml.as_bytes());
            }
            _ => self.take_results(taken),
        }
    }

    fn take_results(&self, taken: Taken) {
        let Some(sweep) = &self.sweep else { return };
        match taken {
            Taken::Jsonl => self.download("metrics.jsonl", "application/jsonl", sweep.log.as_bytes()),
            Taken::Csv => self.download("metrics.csv", "text/csv", sweep.csv().as_bytes()),
            Taken::Svg | Taken::CurvesSvg => {
                let (name, figure) = match taken {
                    Taken::Svg => ("loss_by_learning_rate.svg", sweep.headline()),
                    _ => ("training_curves.svg", sweep.curves(self.chosen.as_ref().map(|cell| cell.learning_rate))),
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
                let chosen = self.chosen.as_ref().and_then(|cell| sweep.adapter(cell));
                if let Some(files) = chosen.or_else(|| sweep.adapter(sweep.best()?)) {
                    let id = files.cell.id();
                    self.download(&format!("{id}.zip"), "application/zip", &zip(&peft(files, &id)));
                }
            }
            Taken::Folder => {
                let experiment = sweep.known.then(|| self.written_out(&sweep.experiment));
                self.download("results.zip", "application/zip", &zip(&sweep.folder(experiment.as_ref())));
            }
            Taken::Link | Taken::Command | Taken::Toml => {}
        }
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
                Err(_) => say("The browser does not let the page copy; the text is below the buttons."),
            }
        });
    }

    /// Keeps the sweep for the next visit; while it is under way now and then.
    pub(super) fn keep(&mut self, now_or_never: bool) {
        let Some(sweep) = &self.sweep else { return };
        if now_or_never || now() - self.stored >= KEEP_EVERY {
            self.stored = now();
            let text = JsValue::from_str(&sweep.kept());
            spawn_local(async move {
                // Without a store, as in some private windows, nothing is kept, and nothing else is worse for it.
                let _ = dom::wait("keep", &[text]).await;
            });
        }
    }
}
