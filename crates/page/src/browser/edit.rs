//! The experiment on the page: its form, its presets, its link, and a text of one's own.

use loralab_experiment::{Blob, Device, Experiment, Link, PRESETS};
use loralab_page::{
    File,
    panel::{Field, Form, GROUPS, OWN_TEXT, presets},
};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Element, HtmlInputElement};

use super::{
    dom::{self, fill, say},
    draw::Part,
    page::{OwnBase, Page, State},
    worker,
};

impl Page {
    /// The form's experiment as it is trained and linked to.
    pub(super) fn full(&self) -> Experiment {
        self.lean(&self.experiment)
    }

    /// The schemes that the worker has, by name.
    pub(super) fn known(&self) -> Vec<&str> {
        self.schemes.iter().map(|scheme| scheme.name.as_str()).collect()
    }

    /// An experiment without what is default anyway.
    pub(super) fn lean(&self, experiment: &Experiment) -> Experiment {
        let known = self.known();
        experiment.without_defaults(&known)
    }

    pub(super) fn form(&self) -> Form<'_> {
        let text = self.text.as_ref().map(|file| file.text.as_str());
        let base = self.base.as_ref().map(|base| base.name.as_str());
        Form { experiment: &self.experiment, schemes: &self.schemes, text, base }
    }

    pub(super) fn show_presets(&self) {
        let same = |preset: &&loralab_experiment::Preset| {
            let known = self.known();
            let of = |experiment: &Experiment| match known.is_empty() {
                true => experiment.settings(),
                false => experiment.without_defaults(&known).settings(),
            };
            of(&preset.experiment()) == of(&self.experiment)
        };
        fill("presets", &presets(PRESETS.iter().find(same).map(|preset| preset.name)));
    }

    pub(super) fn show_form(&mut self) {
        fill("fields", &self.form().html());
        self.show_presets();
        let wrong = self.form().read(&self.fields()).1;
        self.show_wrong(&wrong);
    }

    pub(super) fn preset(&mut self, name: &str) {
        let Some(preset) = PRESETS.iter().find(|preset| preset.name == name) else { return };
        self.experiment = preset.experiment();
        self.show_form();
        self.address();
        let pressed = format!(".preset[data-name=\"{name}\"]");
        dom::all(&pressed).first().into_iter().for_each(dom::focus);
    }

    pub(super) fn reset(&mut self, name: &str) {
        let kept: Vec<_> = self.experiment.settings().into_iter().filter(|(known, _)| *known != name).collect();
        let kept = kept.iter().filter(|(known, _)| !(name == "task" && *known == "data"));
        self.experiment =
            Experiment::from_settings(kept.map(|(name, text)| (*name, text.as_str()))).unwrap_or_default();
        self.show_form();
        self.address();
        if let Some(field) = dom::find::<Element>(&format!("f-{name}")) {
            dom::focus(&field);
        }
    }

    /// The texts of the form's fields.
    fn fields(&self) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        for name in GROUPS.iter().flat_map(|(_, names)| *names) {
            let found = dom::all(&format!("#fields [data-key=\"{name}\"]"));
            if found.is_empty() {
                continue;
            }
            let value = |field: &Element| field.unchecked_ref::<HtmlInputElement>().value();
            let text = match self.form().field(name) {
                Field::Some(_) => {
                    let checked = found.iter().filter(|field| field.unchecked_ref::<HtmlInputElement>().checked());
                    checked.map(value).collect::<Vec<_>>().join(",")
                }
                Field::One(_) | Field::Numbers => found.first().map(value).unwrap_or_default(),
            };
            fields.push(((*name).to_owned(), text));
        }
        fields
    }

    /// A field of the form, or another of the page, has changed.
    pub fn changed(&mut self, id: &str) {
        if id == "device" {
            self.device = Device::named(&dom::value("device")).unwrap_or_default();
            if !self.is_training() {
                self.begin_worker();
                say("Loading …");
            }
            self.address();
            return;
        }
        if id == "adapter" {
            self.adapter = Some(dom::value("adapter")).filter(|name| !name.is_empty());
            for part in Part::INSIDE {
                self.draw(part);
            }
            return;
        }
        if ["prompt", "own-text", "own-file", "own-base"].contains(&id) || self.schemes.is_empty() {
            return;
        }
        let fields = self.fields();
        let optimizer = self.experiment.optimizer.clone();
        // The options that there are depend on the optimiser, which is read first.
        self.experiment.optimizer = fields.iter().find(|(name, _)| name == "optimizer").map(|(_, text)| text.clone());
        let (mut read, wrong) = self.form().read(&fields);
        if fields.iter().any(|(name, text)| name == "task" && text == OWN_TEXT) {
            read.data = Some(self.text.as_ref().map_or_else(|| "mine.txt".to_owned(), |file| file.name.clone()));
        }
        let told = |experiment: &Experiment| (experiment.optimizer.clone(), experiment.data.is_some());
        let other = told(&Experiment { optimizer, ..self.experiment.clone() }) != told(&read);
        self.experiment = read;
        if other && wrong.is_empty() {
            self.show_form();
            if let Some(field) = dom::find::<Element>(id) {
                dom::focus(&field);
            }
        }
        self.show_wrong(&wrong);
        self.show_presets();
        self.show_resets();
        self.address();
    }

    fn show_wrong(&mut self, wrong: &[(String, String)]) {
        self.right = wrong.is_empty();
        for (_, names) in GROUPS {
            for name in names {
                let said = wrong.iter().find(|(known, _)| known == name).map_or("", |(_, said)| said);
                if let Some(place) = dom::find::<Element>(&format!("e-{name}")) {
                    place.set_text_content(Some(said));
                }
                if let Some(field) = dom::find::<Element>(&format!("f-{name}")) {
                    // An attribute of that name can always be set.
                    let _ = field.set_attribute("aria-invalid", if said.is_empty() { "false" } else { "true" });
                }
            }
        }
    }

    fn show_resets(&self) {
        let (fields, defaults) = (self.fields(), self.form().defaults());
        for (name, text) in fields {
            let same = defaults.iter().any(|(known, default)| *known == name && *default == text);
            for button in dom::all(&format!(".reset[data-name=\"{name}\"]")) {
                button.unchecked_ref::<web_sys::HtmlElement>().set_hidden(same);
            }
        }
    }

    /// The query of a link to the experiment.
    pub(super) fn query(&self) -> String {
        Link { experiment: self.full(), device: self.device, run: false }.query()
    }

    /// The address becomes a link to the experiment.
    pub(super) fn address(&mut self) {
        self.forget_starts();
        let history = dom::window().history().expect("a window has a history");
        // A page opened from a file has an address that can't be changed; it then has no link.
        let _ = history.replace_state_with_url(&JsValue::NULL, "", Some(&self.query()));
    }

    /// A text of one's own is being typed.
    pub fn type_text(&mut self, text: &str) {
        let name = self.experiment.data.clone().unwrap_or_else(|| "mine.txt".to_owned());
        self.text = Some(File { name, text: text.to_owned() }).filter(|file| !file.text.is_empty());
    }

    /// A file of one's own was chosen to be learnt.
    pub fn take_text(&mut self, files: Vec<File>) {
        let Some(file) = files.into_iter().next() else {
            say("That is no text file; choose a text, or lines of JSON in a .jsonl.");
            return;
        };
        if file.text.is_empty() || file.text.contains(['\0', char::REPLACEMENT_CHARACTER]) {
            say(&format!("{} is no text; choose a text, or lines of JSON in a .jsonl.", file.name));
            return;
        }
        say(&format!("{} has {} letters to be learnt.", file.name, file.text.chars().count()));
        self.experiment.data = Some(file.name.clone());
        self.experiment.task = None;
        self.text = Some(file);
        self.show_form();
        self.address();
    }

    /// A base of one's own was chosen.
    pub fn take_base(&mut self, name: String, file: Vec<u8>) {
        if self.state != State::Waiting {
            say("Another base can be brought once nothing is trained.");
            return;
        }
        say(&format!("Reading {name} …"));
        let base = OwnBase { name, file: Blob(file), taken: false };
        worker::ask(&self.worker, &base.ask());
        self.base = Some(base);
    }

    /// The worker has taken a base.
    pub(super) fn base_taken(&mut self, name: &str, weights: usize) {
        // After the first time it is only a new worker that was told of it.
        let Some(base) = self.base.as_mut().filter(|base| base.name == name && !base.taken) else { return };
        base.taken = true;
        self.experiment.base = Some(name.to_owned());
        say(&format!("{name} is the base now; it has {weights} weights."));
        self.show_form();
        self.address();
    }

    /// Files were dropped on the page: results if they look like that, else a text to learn.
    pub fn take_dropped(&mut self, files: Vec<File>) {
        let results = files.iter().any(|file| file.text.starts_with("{\"event\":"));
        if results { self.open_results(&files) } else { self.take_text(files) }
    }
}
