//! The experiment on the page: its form, its presets, its link, and a text of one's own.

use loralab_experiment::{Blob, Device, Experiment, Link, PRESETS};
use loralab_page::{
    File, own_text_name,
    panel::{self, Field, Form, OWN_TEXT, SHIPPED, presets},
};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Element, HtmlInputElement};

use super::{
    dom::{self, fill, say, write},
    draw::Part,
    load::{AWAITED, LOADING},
    page::{OwnBase, Page, State},
    worker,
};

impl Page {
    /// The form's experiment as it is trained and linked to.
    pub(super) fn full(&self) -> Experiment {
        self.lean(&self.experiment)
    }

    /// The schemes there are, by name.
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
        Form { experiment: &self.experiment, schemes: &self.schemes, text, base, unread: &self.unread }
    }

    pub(super) fn show_presets(&self) {
        let of = |experiment: &Experiment| self.lean(experiment).settings();
        let same = |preset: &&loralab_experiment::Preset| of(&preset.experiment()) == of(&self.experiment);
        fill("presets", &presets(PRESETS.iter().find(same).map(|preset| preset.name)));
    }

    /// Shows the form anew; groups stay as they were opened, and the field that had the focus has it again.
    pub(super) fn show_form(&mut self) {
        const GROUPS_SHOWN: &str = "#fields > details";
        let held = dom::document().active_element().map(|held| held.id()).filter(|id| id.starts_with("f-"));
        let open: Vec<bool> = dom::all(GROUPS_SHOWN).iter().map(|group| group.has_attribute("open")).collect();
        fill("fields", &self.form().html());
        for (group, open) in dom::all(GROUPS_SHOWN).iter().zip(open) {
            // An attribute of that name can always be set and removed.
            let _ = if open { group.set_attribute("open", "") } else { group.remove_attribute("open") };
        }
        if let Some(field) = held.and_then(|id| dom::find::<Element>(&id)) {
            dom::focus(&field);
        }
        self.show_presets();
        let wrong = self.form().read(&self.fields()).1;
        self.show_wrong(wrong);
    }

    /// True if everything is at hand that the experiment names, so that it can be trained, or `what` else is to be done; what is not is said, and shown.
    pub(super) fn can_begin(&self, what: &str) -> bool {
        let missing = self.experiment.base.as_ref().filter(|name| !self.has_base(name));
        let (why, field) = if let Some((name, said)) = self.wrong.first() {
            match dom::find::<Element>(&format!("f-{name}")) {
                Some(_) => ("a setting is not right; its field says why".to_owned(), name.as_str()),
                // Such as `memory`, which only a link can have.
                None => (said.trim_end_matches('.').to_owned(), ""),
            }
        } else if self.experiment.data.is_some() && self.text.is_none() {
            ("paste a text of your own, or choose a file, at `task`".to_owned(), "task")
        } else if let Some(name) = missing {
            (format!("the base {name} is not in the page; bring its file at `base`, or choose another"), "base")
        } else {
            return true;
        };
        say(&format!("Not {what}: {why}."));
        reveal(field);
        false
    }

    /// The text that the experiment learns, where that is no task.
    pub(super) fn data(&self) -> Option<String> {
        self.experiment.data.as_ref().and(self.text.as_ref()).map(|file| file.text.clone())
    }

    /// True if a base is loaded or shipped.
    pub(super) fn has_base(&self, name: &str) -> bool {
        SHIPPED.contains(&name) || self.base.as_ref().is_some_and(|base| base.name == name && base.taken)
    }

    pub(super) fn preset(&mut self, name: &str) {
        let Some(preset) = PRESETS.iter().find(|preset| preset.name == name) else { return };
        self.experiment = preset.experiment();
        self.unread.clear();
        self.show_form();
        self.address();
        let pressed = format!(".preset[data-name=\"{name}\"]");
        dom::all(&pressed).first().into_iter().for_each(dom::focus);
    }

    pub(super) fn reset(&mut self, name: &str) {
        self.unread.retain(|(known, _)| known != name);
        let kept: Vec<_> = self.experiment.settings().into_iter().filter(|(known, _)| *known != name).collect();
        let kept = kept.iter().filter(|(known, _)| !(name == "task" && *known == "data"));
        self.experiment =
            Experiment::from_settings(kept.map(|(name, text)| (*name, text.as_str()))).unwrap_or_default();
        self.show_form();
        // The options of another optimiser go with it.
        self.read_form();
        reveal(name);
    }

    /// The texts of the form's fields.
    fn fields(&self) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        for name in panel::names_of_fields() {
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
            dom::remember_device(self.device.name());
            if !self.is_training() || self.state == State::Loading {
                self.begin_worker();
                say(if self.pending.is_some() { AWAITED } else { LOADING });
            }
            return;
        }
        if id == "adapter" {
            self.adapter = Some(dom::value("adapter")).filter(|name| !name.is_empty());
            for part in Part::INSIDE {
                self.draw(part);
            }
            return;
        }
        if !["prompt", "own-text", "own-file", "own-base"].contains(&id) {
            self.read_form();
        }
    }

    /// The experiment becomes what the fields say.
    fn read_form(&mut self) {
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
        let is_wrong = |name: &String| wrong.iter().any(|(known, _)| known == name);
        self.unread = fields.into_iter().filter(|(name, _)| is_wrong(name)).collect();
        if other {
            self.show_form();
        } else {
            self.show_wrong(wrong);
        }
        self.show_presets();
        self.show_resets();
        self.address();
    }

    /// Says at each field what is wrong with it, in a group that is open.
    fn show_wrong(&mut self, wrong: Vec<(String, String)>) {
        for name in panel::names_of_fields() {
            let said = wrong.iter().find(|(known, _)| known == name).map_or("", |(_, said)| said);
            if let Some(place) = dom::find::<Element>(&format!("e-{name}")) {
                place.set_text_content(Some(said));
            }
            if let Some(field) = dom::find::<Element>(&format!("f-{name}")) {
                // An attribute of that name can always be set.
                let _ = field.set_attribute("aria-invalid", if said.is_empty() { "false" } else { "true" });
            }
        }
        wrong.iter().for_each(|(name, _)| open_group(name));
        self.wrong = wrong;
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
        Link::query(&self.full())
    }

    /// The address becomes a link to the experiment.
    pub(super) fn address(&mut self) {
        self.forget_starts();
        let history = dom::window().history().expect("a window has a history");
        // A page opened from a file has an address that can't be changed; it then has no link.
        let _ = history.replace_state_with_url(&JsValue::NULL, "", Some(&self.query()));
    }

    /// A text of one's own is being typed. It is learnt as what it is, whatever file stood there before.
    pub fn type_text(&mut self, text: &str) {
        let name = own_text_name(self.experiment.data.as_deref(), text);
        self.text = Some(File { name: name.clone(), text: text.to_owned() }).filter(|file| !file.text.is_empty());
        if self.experiment.data.as_ref() != Some(&name) {
            write("own-name", &name);
            self.experiment.data = Some(name);
            self.address();
        }
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
        self.unread.retain(|(name, _)| name != "task");
        self.text = Some(file);
        self.show_form();
        self.address();
    }

    /// A base of one's own was chosen.
    pub fn take_base(&mut self, name: String, file: Vec<u8>) {
        if self.is_training() {
            say("Another base can be brought once nothing is trained.");
            return;
        }
        if self.state == State::Missing {
            self.begin_worker();
        }
        say(&format!("Reading {name} …"));
        let base = OwnBase { name, file: Blob(file), taken: false };
        // A worker that is being loaded is handed it then.
        if self.state == State::Waiting {
            worker::send(&self.worker, &base.request());
        }
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

/// Opens the group that a field is in, and gives the field the focus.
fn reveal(name: &str) {
    open_group(name);
    if let Some(field) = dom::find::<Element>(&format!("f-{name}")) {
        // Of a list of boxes it is the first.
        let first = field.query_selector("input").ok().flatten();
        dom::focus(&first.unwrap_or(field));
    }
}

fn open_group(name: &str) {
    let field = dom::find::<Element>(&format!("f-{name}"));
    if let Some(group) = field.and_then(|field| field.closest("details").ok().flatten()) {
        // An attribute of that name can always be set.
        let _ = group.set_attribute("open", "");
    }
}
