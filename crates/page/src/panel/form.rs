//! The experiment as a form: a field for every setting, with what it does, who says so, and a way back to its default.

use loralab_experiment::{
    Experiment, ExperimentError, KEYS, Key, OptimizerName, Preconditioner, Scaling, Schedule, Task, first_name,
};

use crate::{
    SchemeInfo,
    html::{escaped, unbroken},
};

/// The value of the field `task` for a text of one's own.
pub const OWN_TEXT: &str = "own-text";

/// The bases that come with the page.
pub const SHIPPED: [&str; 2] = ["nano", "tiny"];

/// The groups of the form, of which the first two are always seen.
const GROUPS: [&str; 5] = ["What is learnt", "Starts, rates, seeds", "Length", "Adapter", "Optimiser"];

/// Linear maps of the bases that the page can train on; the worker refuses what a base does not have.
const TARGETS: [&str; 7] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/// The field for a base of one's own.
const BRING: &str = "<span class=\"note\">A file that <code>loralab pretrain</code> made: \
     <label class=\"file\">bring a base<input type=\"file\" id=\"own-base\" accept=\".safetensors\"></label> or drop it on the page. It stays in this tab.</span>";

/// Groups that are open from the start.
const OPEN: usize = 3;

/// The names of the settings that have a field.
pub fn names_of_fields() -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter(|key| !key.form.is_empty()).map(|key| key.name)
}

/// The form of an experiment.
pub struct Form<'a> {
    /// The experiment's own settings.
    pub experiment: &'a Experiment,
    /// The schemes there are.
    pub schemes: &'a [SchemeInfo],
    /// The text of one's own, if there is one.
    pub text: Option<&'a str>,
    /// The name of the base of one's own, if there is one.
    pub base: Option<&'a str>,
    /// Settings whose fields hold a text that is none of their values, with it.
    pub unread: &'a [(String, String)],
}

/// The kind of field of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// One of these.
    One(Vec<String>),
    /// Some of these.
    Some(Vec<String>),
    /// A number, or numbers with commas between.
    Numbers,
}

impl Form<'_> {
    /// The kind of field of a setting.
    pub fn field(&self, name: &str) -> Field {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        match name {
            "base" => {
                // One that a link or results from elsewhere name is shown, though its file may not be here.
                let named = [self.base, self.experiment.base.as_deref()].into_iter().flatten();
                let mut all: Vec<String> = names(&SHIPPED);
                for name in named {
                    if !all.iter().any(|known| known == name) {
                        all.push(name.to_owned());
                    }
                }
                Field::One(all)
            }
            "task" => Field::One(Task::ALL.iter().map(Task::to_string).chain([OWN_TEXT.to_owned()]).collect()),
            "scaling" => Field::One(Scaling::ALL.iter().map(Scaling::to_string).collect()),
            "optimizer" => Field::One(OptimizerName::ALL.iter().map(OptimizerName::to_string).collect()),
            "preconditioner" => Field::One(Preconditioner::ALL.iter().map(Preconditioner::to_string).collect()),
            "schedule" => Field::One(Schedule::ALL.iter().map(Schedule::to_string).collect()),
            "schemes" => Field::Some(self.schemes.iter().map(|scheme| scheme.name.clone()).collect()),
            "target_modules" => Field::Some(TARGETS.map(str::to_owned).into()),
            _ => Field::Numbers,
        }
    }

    /// The texts that the settings have where the experiment does not say otherwise.
    pub fn defaults(&self) -> Vec<(&'static str, String)> {
        let schemes: Vec<_> = self.schemes.iter().map(|scheme| scheme.name.as_str()).collect();
        let bare = Experiment { optimizer: self.experiment.optimizer.clone(), ..Experiment::default() };
        // An optimiser that is none is refused by its own field; the others show what they would have with the default.
        let of = |bare: &Experiment| bare.resolve(&schemes).map(|resolved| resolved.to_experiment());
        let full = of(&bare).or_else(|_| of(&Experiment::default())).unwrap_or_default();
        Experiment { optimizer: Some("adamw".to_owned()), ..full }.settings()
    }

    /// True if a list of names is that of all schemes, each once.
    fn is_every_scheme(&self, text: &str) -> bool {
        let names: Vec<&str> = text.split(',').map(str::trim).collect();
        let mut once = self.schemes.iter().map(|scheme| scheme.name.as_str()).filter(|name| first_name(name).is_none());
        names.iter().all(|name| first_name(name).is_none()) && once.all(|name| names.contains(&name))
    }

    /// True if the chosen optimiser has the option.
    fn applies(&self, name: &str) -> bool {
        let optimizer = self.experiment.optimizer.as_deref().unwrap_or("adamw");
        match name {
            "beta1" | "beta2" | "epsilon" => optimizer == "adamw",
            "momentum" => optimizer == "sgd",
            _ => true,
        }
    }

    /// The whole of it.
    pub fn html(&self) -> String {
        let (given, defaults) = (self.experiment.settings(), self.defaults());
        let find = |texts: &[(&str, String)], name: &str| {
            texts.iter().find(|(known, _)| *known == name).map(|(_, text)| text.clone()).unwrap_or_default()
        };
        let unread = |name: &str| self.unread.iter().find(|(known, _)| known == name).map(|(_, text)| text.clone());
        let group = |(place, title): (usize, &&str)| {
            let fields: String = KEYS
                .iter()
                .filter(|key| key.form == *title && self.applies(key.name))
                .map(|key| {
                    let default = find(&defaults, key.name);
                    let mut text =
                        Some(find(&given, key.name)).filter(|text| !text.is_empty()).unwrap_or_else(|| default.clone());
                    if key.name == "task" && self.experiment.data.is_some() {
                        OWN_TEXT.clone_into(&mut text);
                    }
                    let text = unread(key.name).unwrap_or(text);
                    self.field_html(key, &text, &default)
                })
                .collect();
            let open = if place < OPEN { " open" } else { "" };
            format!("<details class=\"group\"{open}><summary>{title}</summary>{fields}</details>")
        };
        GROUPS.iter().enumerate().map(group).collect()
    }

    fn field_html(&self, key: &Key, text: &str, default: &str) -> String {
        let name = key.name;
        let label = name.replace('_', " ");
        let input = match self.field(name) {
            Field::One(mut options) => {
                // A value of a link that is none of the options is shown too, so that the fault can be seen.
                if !options.iter().any(|option| option == text) {
                    options.push(text.to_owned());
                }
                let option = |option: &String| {
                    let selected = if option == text { " selected" } else { "" };
                    let shown = if option == OWN_TEXT { "a text of my own" } else { option };
                    format!("<option value=\"{}\"{selected}>{}</option>", escaped(option), unbroken(shown))
                };
                let options: String = options.iter().map(option).collect();
                format!(
                    "<select id=\"f-{name}\" data-key=\"{name}\" aria-describedby=\"h-{name} e-{name}\">{options}</select>"
                )
            }
            Field::Some(mut options) => {
                let chosen: Vec<&str> =
                    if ["all-linear", "all"].contains(&text) { vec![] } else { text.split(',').collect() };
                let foreign: Vec<_> =
                    chosen.iter().filter(|name| !options.iter().any(|option| option == *name)).collect();
                options.extend(foreign.iter().filter(|name| !name.is_empty()).map(|name| name.to_string()));
                let one = |option: &String| {
                    let of_all = chosen.is_empty() && first_name(option).is_none();
                    let checked = if of_all || chosen.contains(&option.as_str()) { " checked" } else { "" };
                    let about = self.schemes.iter().find(|scheme| scheme.name == *option && name == "schemes");
                    let about = about.map_or_else(String::new, |scheme| {
                        format!(
                            " <span class=\"note\">{} <cite>{}</cite></span>",
                            escaped(&scheme.about),
                            escaped(&scheme.source)
                        )
                    });
                    format!(
                        "<label class=\"choice\"><input type=\"checkbox\" data-key=\"{name}\" value=\"{0}\"{checked}> <span>{1}{about}</span></label>",
                        escaped(option),
                        unbroken(option)
                    )
                };
                let boxes: String = options.iter().map(one).collect();
                let kind = if name == "schemes" { "choices" } else { "choices beside" };
                format!(
                    "<div class=\"{kind}\" id=\"f-{name}\" role=\"group\" aria-labelledby=\"l-{name}\" aria-describedby=\"h-{name} e-{name}\">{boxes}</div>"
                )
            }
            Field::Numbers => format!(
                "<input id=\"f-{name}\" data-key=\"{name}\" value=\"{}\" autocomplete=\"off\" spellcheck=\"false\" inputmode=\"text\" \
                 aria-describedby=\"h-{name} e-{name}\">",
                escaped(text)
            ),
        };
        let heading = match self.field(name) {
            Field::Some(_) => format!("<span class=\"label\" id=\"l-{name}\">{label}</span>"),
            _ => format!("<label class=\"label\" for=\"f-{name}\">{label}</label>"),
        };
        let hidden = if text == default { " hidden" } else { "" };
        let cite = if key.source.is_empty() { String::new() } else { format!(" <cite>{}</cite>", escaped(key.source)) };
        let own = match name {
            "task" => self.own_text_html(),
            "base" => BRING.to_owned(),
            _ => String::new(),
        };
        format!(
            "<div class=\"field\" id=\"p-{name}\">{heading}<button type=\"button\" class=\"reset\" data-do=\"reset\" data-name=\"{name}\" \
             title=\"back to {0}\" aria-label=\"Reset {label} to {0}\"{hidden}>reset</button>{input}\
             <p class=\"help\" id=\"h-{name}\">{1}{cite}</p><p class=\"error\" id=\"e-{name}\"></p>{own}</div>",
            escaped(default),
            escaped(key.about)
        )
    }

    fn own_text_html(&self) -> String {
        let hidden = if self.experiment.data.is_some() { "" } else { " hidden" };
        let name = self.experiment.data.as_deref().unwrap_or("mine.txt");
        format!(
            "<div id=\"own\" class=\"own\"{hidden}><label class=\"label\" for=\"own-text\">Your text, or lines of JSON with a prompt and a completion</label>\
             <textarea id=\"own-text\" rows=\"5\" spellcheck=\"false\" placeholder=\"Paste at least a few hundred letters, or drop a file here.\">{}</textarea>\
             <label class=\"file\">Choose a file <input type=\"file\" id=\"own-file\" accept=\".txt,.md,.jsonl,.raw,text/*\"></label>\
             <span class=\"note\" id=\"own-name\" data-name=\"{1}\">{1}</span> <span class=\"note\">It stays in this tab.</span></div>",
            escaped(self.text.unwrap_or_default()),
            escaped(name)
        )
    }

    /// Reads the fields back, each a name and its text, and says of each that is wrong why.
    pub fn read(&self, fields: &[(String, String)]) -> (Experiment, Vec<(String, String)>) {
        let (mut texts, mut wrong) = (Vec::new(), Vec::new());
        let defaults = self.defaults();
        let known: Vec<_> = self.schemes.iter().map(|scheme| scheme.name.as_str()).collect();
        for (name, text) in fields {
            let text = match name.as_str() {
                "schemes" if self.is_every_scheme(text) => "all",
                "target_modules" if text.split(',').eq(TARGETS) => "all-linear",
                _ => text,
            };
            let is_default = defaults.iter().any(|(known, default)| known == name && default == text.trim());
            if is_default || (name == "task" && text == OWN_TEXT) || !self.applies(name) {
                continue;
            }
            match Experiment::from_settings([(name.as_str(), text)]) {
                Ok(alone) => {
                    texts.push((name.as_str(), text));
                    let error = checked(&alone, &known).err().filter(is_of_one_setting);
                    wrong.extend(error.map(|error| (name.clone(), error.to_string())));
                }
                Err(error) => wrong.push((name.clone(), error.to_string())),
            }
        }
        // Settings without a field, such as `memory` from a link, are kept.
        let fieldless = |name: &str| !names_of_fields().any(|field| field == name) && name != "data";
        let kept: Vec<_> = self.experiment.settings().into_iter().filter(|(name, _)| fieldless(name)).collect();
        let all = kept.iter().map(|(name, text)| (*name, text.as_str())).chain(texts);
        let read = Experiment::from_settings(all).unwrap_or_default();
        if let (true, Err(error)) = (wrong.is_empty(), checked(&read, &known)) {
            wrong.push((at_fault(&error).to_owned(), error.to_string()));
        }
        (read, wrong)
    }
}

/// True if a setting is invalid by itself, for any values of the others.
fn is_of_one_setting(error: &ExperimentError) -> bool {
    use ExperimentError::{Empty, Twice, UnknownName, Value};
    matches!(error, Value { .. } | UnknownName { .. } | Empty { .. } | Twice { .. })
}

/// The field that an error belongs to.
fn at_fault(error: &ExperimentError) -> &str {
    match error {
        ExperimentError::Value { key, .. } | ExperimentError::Empty { key } => key.name,
        ExperimentError::UnknownName { key, .. } | ExperimentError::Twice { key, .. } => key,
        ExperimentError::GridTooLarge { .. } => "seeds",
        ExperimentError::Clash { first, .. } => {
            let named = first.split('`').nth(1).unwrap_or_default();
            KEYS.iter().find(|key| key.name == named).map_or("steps", |key| key.name)
        }
        ExperimentError::Syntax { .. } | ExperimentError::UnknownKey { .. } => "steps",
    }
}

/// Refuses what can't be trained, and linear maps that none of the bases has.
fn checked(experiment: &Experiment, known: &[&str]) -> Result<(), ExperimentError> {
    experiment.resolve(known)?.targets(&TARGETS.map(str::to_owned)).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schemes() -> Vec<SchemeInfo> {
        let info =
            |name: &str| SchemeInfo { name: name.to_owned(), about: "<about>".to_owned(), source: "paper".to_owned() };
        ["init-a", "init-b", "init-ab"].map(info).into()
    }

    fn with<T>(toml: &str, act: impl FnOnce(Form<'_>) -> T) -> T {
        with_unread(toml, &[], act)
    }

    fn with_unread<T>(toml: &str, unread: &[(&str, &str)], act: impl FnOnce(Form<'_>) -> T) -> T {
        let unread: Vec<_> = unread.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let experiment = Experiment::from_toml(toml).expect(toml);
        act(Form {
            experiment: &experiment,
            schemes: &schemes(),
            text: Some("a <text>"),
            base: Some("<my>.safetensors"),
            unread: &unread,
        })
    }

    #[test]
    fn every_setting_of_a_page_has_a_field_that_explains_it() {
        let html = with("optimizer = 'sgd'", |form| form.html()) + &with("", |form| form.html());
        for key in KEYS.iter().filter(|key| !key.form.is_empty()) {
            assert!(html.contains(&format!("id=\"f-{}\"", key.name)), "{} has no field", key.name);
            assert!(html.contains(&escaped(key.about)) && html.contains(&escaped(key.source)), "{}", key.name);
        }
        assert!(!html.contains("<about>") && html.contains("&lt;about&gt;"));
        assert_eq!(with("", |form| form.html()).matches("id=\"f-momentum\"").count(), 0);
    }

    #[test]
    fn only_what_differs_can_be_reset_and_is_set() {
        let html = with("rank = 4", |form| form.html());
        let reset =
            |name: &str| html.split(&format!("data-name=\"{name}\"")).nth(1).and_then(|rest| rest.split('>').next());
        assert!(reset("rank").is_some_and(|tag| tag.contains("Reset rank to 8") && !tag.contains("hidden")));
        assert!(reset("alpha").is_some_and(|tag| tag.ends_with("hidden")));
        let fields = [
            ("rank", "4"),
            ("alpha", "16"),
            ("schemes", "init-a,init-b"),
            ("learning_rates", "1e-3, 3e-3"),
            ("momentum", "0.9"),
        ];
        let fields = fields.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let (read, wrong) = with("memory = '1GiB'\nrank = 2", |form| form.read(&fields));
        assert_eq!(wrong, []);
        assert_eq!(
            read,
            Experiment::from_toml("memory = '1GiB'\nrank = 4\nlearning_rates = [1e-3, 3e-3]").expect("it is right")
        );
    }

    #[test]
    fn all_schemes_are_checked_and_said_in_a_word() {
        let html = with("schemes = ['all']", |form| form.html());
        assert_eq!(html.matches("data-key=\"schemes\"").count(), 3);
        assert_eq!(
            html.split("id=\"f-schemes\"").nth(1).map(|rest| rest
                .split("</div>")
                .next()
                .unwrap_or_default()
                .matches(" checked")
                .count()),
            Some(3)
        );
        let (read, wrong) = with("", |form| form.read(&[("schemes".to_owned(), "init-a,init-b,init-ab".to_owned())]));
        assert_eq!((read.schemes, wrong), (Some(vec!["all".to_owned()]), vec![]));
    }

    #[test]
    fn a_base_of_ones_own_can_be_chosen() {
        let options = with("", |form| form.field("base"));
        assert_eq!(options, Field::One(["nano", "tiny", "<my>.safetensors"].map(str::to_owned).into()));
        let html = with("base = 'other.safetensors'", |form| form.html());
        assert!(
            html.contains("value=\"other.safetensors\" selected") && html.contains("value=\"&lt;my&gt;.safetensors\"")
        );
        let (read, _) = with("", |form| form.read(&[("base".to_owned(), "<my>.safetensors".to_owned())]));
        assert_eq!(read.base.as_deref(), Some("<my>.safetensors"));
    }

    #[test]
    fn what_is_wrong_is_said_at_its_field() {
        for (name, text, said) in [
            ("rank", "eight", "`rank` is \"eight\""),
            ("rank", "0", "`rank` is 0"),
            ("schemes", "", "`schemes` is empty"),
            ("learning_rates", "1e-3,1e-3", "twice"),
            ("seeds", "99999999", "the grid has"),
            ("warmup_steps", "900", "the warm-up cannot be longer"),
        ] {
            let (_, wrong) = with("", |form| form.read(&[(name.to_owned(), text.to_owned())]));
            assert!(wrong.len() == 1 && wrong[0].0 == name && wrong[0].1.contains(said), "{wrong:?}");
        }
    }

    #[test]
    fn a_name_that_nothing_has_is_shown_and_told_at_its_field() {
        let unread = [("rank", "eight"), ("steps", "-1")];
        let toml = "task = 'bad'\nschemes = ['init-a', 'init-x']\noptimizer = 'adam'\ntarget_modules = 'w_proj'";
        let html = with_unread(toml, &unread, |form| form.html());
        for shown in [
            "<option value=\"bad\" selected>",
            "<option value=\"adam\" selected>",
            "data-key=\"schemes\" value=\"init-x\" checked",
            "data-key=\"target_modules\" value=\"w_proj\" checked",
            "data-key=\"rank\" value=\"eight\"",
            "data-key=\"steps\" value=\"-1\"",
        ] {
            assert!(html.contains(shown), "{shown}");
        }
        let fields = [
            ("task", "bad"),
            ("schemes", "init-a,init-x"),
            ("optimizer", "adam"),
            ("target_modules", "w_proj"),
            ("rank", "eight"),
            ("seeds", "1,1"),
            ("alpha", "16"),
        ];
        let fields = fields.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let (read, wrong) = with(toml, |form| form.read(&fields));
        assert_eq!(read.task.as_deref(), Some("bad"));
        let names: Vec<_> = wrong.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["task", "schemes", "optimizer", "target_modules", "rank", "seeds"]);
        for ((_, said), (_, text)) in wrong.iter().zip(&fields) {
            let bad = text.rsplit(',').next().unwrap_or_default();
            assert!(said.contains(bad), "{said}");
        }
    }

    #[test]
    fn a_text_of_ones_own_is_a_task() {
        let html = with("data = 'a&b.txt'", |form| form.html());
        assert!(
            html.contains("<option value=\"own-text\" selected>")
                && html.contains("a&amp;b.txt")
                && html.contains("a &lt;text&gt;")
        );
        assert!(!html.contains("class=\"own\" hidden"));
        assert!(with("", |form| form.html()).contains("class=\"own\" hidden"));
    }
}
