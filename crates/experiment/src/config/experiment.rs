//! An experiment as a person writes it, where any setting may be left out: its TOML, and one laid over another.

use serde::{Deserialize, Deserializer, Serialize};
use toml::de::{DeTable, DeValue};

use crate::config::error::ExperimentError;
use crate::config::keys::{TOKENS_ALIAS, key, nearest_key};
use crate::config::names::OptimizerName;
use crate::config::table::Experiment;

/// Seeds, listed or counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Seeds {
    /// This many, from 0.
    Count(u64),
    /// These.
    List(Vec<u64>),
}

pub(crate) fn one_or_many<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written<T> {
        One(T),
        Many(Vec<T>),
    }
    Ok(Option::deserialize(deserializer)?.map(|written| match written {
        Written::One(value) => vec![value],
        Written::Many(values) => values,
    }))
}

/// Rates, or the word for searching for them, which [`Experiment::from_toml`] notes.
pub(crate) fn rates<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<f64>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        One(f64),
        Many(Vec<f64>),
        Word(Auto),
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Auto {
        Auto,
    }
    Ok(Option::deserialize(deserializer)?.and_then(|written| match written {
        Written::One(rate) => Some(vec![rate]),
        Written::Many(rates) => Some(rates),
        Written::Word(Auto::Auto) => None,
    }))
}

/// A text, or a number that is taken as one.
pub(crate) fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Number(f64),
    }
    Ok(Option::deserialize(deserializer)?.map(|written| match written {
        Written::Text(text) => text,
        Written::Number(number) => number.to_string(),
    }))
}

impl Experiment {
    /// Reads an experiment from TOML.
    ///
    /// # Errors
    /// Text that is not TOML, an unknown setting (with the nearest known one), or a value of the wrong type, each with
    /// its line. Ranges and names are checked by [`resolve`](Self::resolve).
    pub fn from_toml(text: &str) -> Result<Self, ExperimentError> {
        let line_of = |place: usize| 1 + text.bytes().take(place).filter(|&byte| byte == b'\n').count();
        let syntax = |error: &toml::de::Error| ExperimentError::Syntax {
            line: line_of(error.span().map_or(0, |span| span.start)),
            message: error.message().replace('\n', ", "),
        };
        let table = DeTable::parse(text).map_err(|error| syntax(&error))?;
        for name in table.get_ref().keys() {
            if key(name.get_ref()).is_none() {
                return Err(ExperimentError::UnknownKey {
                    key: name.get_ref().to_string(),
                    line: Some(line_of(name.span().start)),
                    nearest: nearest_key(name.get_ref()),
                });
            }
        }
        if table.get_ref().contains_key("tokens") && table.get_ref().contains_key(TOKENS_ALIAS) {
            return Err(ExperimentError::Clash {
                first: "`tokens` is set".to_owned(),
                second: format!("`{TOKENS_ALIAS}` is set"),
                why: "they are two names of one setting",
                remedy: "Keep one of them.".to_owned(),
            });
        }
        let rates = table.get_ref().get("learning_rates");
        let searches = rates.is_some_and(|rates| matches!(rates.get_ref(), DeValue::String(word) if word == "auto"));
        let read: Result<Self, _> = toml::from_str(text);
        read.map(|experiment| Self { searches, ..experiment }).map_err(|error| {
            let fault = error.span().and_then(|fault| {
                table.get_ref().iter().find_map(|(name, value)| {
                    let span = value.span();
                    let inside = span.start <= fault.start && fault.end <= span.end;
                    inside.then(|| (key(name.get_ref()), span)).and_then(|(key, span)| Some((key?, span)))
                })
            });
            match fault {
                Some((key, span)) => {
                    ExperimentError::Value { key, line: Some(line_of(span.start)), found: excerpt(&text[span]) }
                }
                None => syntax(&error),
            }
        })
    }

    /// The experiment as TOML, with the settings that are given and no others.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a flat table of numbers, strings and lists of them is TOML")
    }

    /// This experiment with another laid over it: what `over` gives, holds.
    ///
    /// Settings of `self` that exclude those of `over` are removed, with the settings that belong to them: `data` replaces a
    /// `task` (or the reverse), and another `optimizer` removes the options of the one before.
    #[must_use]
    pub fn merge(mut self, over: Self) -> Self {
        if over.data.is_some() {
            self.task = None;
        }
        if over.task.is_some() {
            self = Self { data: None, fields: None, validation: None, ..self };
        }
        let default = OptimizerName::AdamW.name();
        let before = self.optimizer.as_deref().unwrap_or(default);
        if over.optimizer.as_deref().is_some_and(|after| after != before) {
            self = Self { beta1: None, beta2: None, epsilon: None, momentum: None, ..self };
        }
        self.over(over)
    }

    /// The settings of `over`, and of the rest those of `self`.
    pub(crate) fn over(mut self, over: Self) -> Self {
        if over.searches {
            self.learning_rates = None;
        }
        let searches = over.searches || (self.searches && over.learning_rates.is_none());
        Self { searches, ..self.laid_under(over) }
    }
}

/// The first line of a value as it was written, cut to a length that fits a sentence.
fn excerpt(source: &str) -> String {
    const LONGEST: usize = 60;
    let line = source.lines().next().unwrap_or_default().trim();
    if line.chars().count() <= LONGEST && line.len() == source.trim().len() {
        return line.to_owned();
    }
    line.chars().take(LONGEST).chain("…".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::bytes::Bytes;
    use crate::config::table::KEYS;

    fn read(text: &str) -> Experiment {
        Experiment::from_toml(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn refusal(text: &str) -> String {
        Experiment::from_toml(text).expect_err(text).to_string()
    }

    /// Every example of the key table, which sets every setting.
    fn full() -> String {
        KEYS.map(|key| key.example).join("\n")
    }

    #[test]
    fn the_key_table_names_exactly_the_fields() {
        let json = serde_json::to_value(Experiment::default()).expect("an experiment is JSON");
        let fields: Vec<_> = json.as_object().expect("a struct is an object").keys().cloned().collect();
        assert_eq!(fields, KEYS.map(|key| key.name));
        let json = serde_json::to_value(read(&full())).expect("an experiment is JSON");
        for (name, value) in json.as_object().expect("a struct is an object") {
            assert!(!value.is_null(), "the example of {name} does not set it");
        }
    }

    #[test]
    fn nothing_is_the_default_and_is_written_as_nothing() {
        assert_eq!(read(""), Experiment::default());
        assert_eq!(Experiment::default().to_toml(), "");
    }

    #[test]
    fn what_is_written_is_read_again() {
        let full = read(&full());
        assert_eq!(read(&full.to_toml()), full);
        let json = serde_json::to_string(&full).expect("an experiment is JSON");
        assert_eq!(serde_json::from_str::<Experiment>(&json).expect("what was written is read"), full);
        let none = serde_json::to_string(&Experiment::default()).expect("an experiment is JSON");
        assert_eq!(serde_json::from_str::<Experiment>(&none).expect("what was written is read"), Experiment::default());
        // Each setting alone, too.
        for key in KEYS {
            let one = read(key.example);
            let toml = one.to_toml();
            assert_eq!(toml.lines().count(), 1, "{toml}");
            assert_eq!(read(&toml), one);
        }
    }

    #[test]
    fn lists_counts_units_and_aliases() {
        let experiment =
            read("schemes = 'init-a'\nlearning_rates = 1e-3\nseeds = 3\nmax_seq_length = 32\nmemory = 1024");
        assert_eq!(experiment.schemes, Some(vec!["init-a".to_owned()]));
        assert_eq!(experiment.learning_rates, Some(vec![1e-3]));
        assert_eq!(experiment.seeds, Some(Seeds::Count(3)));
        assert_eq!(experiment.tokens, Some(32));
        assert_eq!(experiment.memory, Some(Bytes(1024)));
        assert_eq!(read("learning_rates = [1, 0.5]\nalpha = 16").learning_rates, Some(vec![1.0, 0.5]));
        assert_eq!(read("seeds = [4, 2]").seeds, Some(Seeds::List(vec![4, 2])));
    }

    #[test]
    fn rates_that_are_searched_for_are_a_word() {
        let auto = read("learning_rates = 'auto'\nrank = 4");
        assert_eq!((auto.learning_rates.as_ref(), auto.searches), (None, true));
        let listed = read("learning_rates = [1e-3]");
        assert!(auto.clone().merge(read("rank = 2")).searches && read("rank = 2").merge(auto.clone()).searches);
        assert_eq!(auto.clone().merge(listed.clone()), read("learning_rates = [1e-3]\nrank = 4"));
        assert_eq!(listed.merge(auto.clone()), auto);
        let refused = auto.resolve(&["init-a", "init-b"]).expect_err("nobody searches here").to_string();
        assert!(refused.starts_with("`learning_rates` is \"auto\", but it must be a list of numbers"), "{refused}");
        for text in ["learning_rates = 'automatic'", "learning_rates = ['auto']"] {
            assert!(refusal(text).contains("must be a list of numbers"), "{text}");
        }
    }

    #[test]
    fn unknown_settings_name_the_nearest_one_and_the_line() {
        assert_eq!(
            refusal("rank = 8\n\nlearning_rate = 1e-3"),
            "line 3: there is no setting `learning_rate`. Did you mean `learning_rates`?"
        );
        assert_eq!(refusal("lora_alpha = 8"), "line 1: there is no setting `lora_alpha`. Did you mean `alpha`?");
        let far = refusal("[temperature]\nx = 1");
        assert!(far.starts_with("line 1: there is no setting `temperature`. The settings are base, task, "), "{far}");
    }

    #[test]
    fn wrong_types_say_what_was_needed() {
        assert_eq!(
            refusal("steps = 5\nrank = \"eight\""),
            "line 2: `rank` is \"eight\", but it must be a whole number of at least 1; for example `rank = 8`."
        );
        assert_eq!(
            refusal("rank = -1"),
            "line 1: `rank` is -1, but it must be a whole number of at least 1; for example `rank = 8`."
        );
        assert_eq!(
            refusal("learning_rates = [1e-3, 'fast']"),
            "line 1: `learning_rates` is [1e-3, 'fast'], but it must be a list of numbers above 0 and within the range \
             of 32-bit floats (1.2e-38 to 3.4e38); for example `learning_rates = [1e-3, 2e-3]`."
        );
        for text in [
            "seeds = 1.5",
            "seeds = [-1]",
            "memory = '2 parsecs'",
            "memory = -1",
            "max_seq_length = 'long'",
            "schemes = [1]",
            "target_modules = true",
            "base = 7",
        ] {
            let error = refusal(text);
            assert!(error.starts_with("line 1: `") && error.contains("must be"), "{error}");
        }
        let long = refusal(&format!("rank = [\n{}]", "1,\n".repeat(100)));
        assert!(long.starts_with("line 1: `rank` is […, but"), "{long}");
        let table = refusal("[optimizer]\nname = 'adamw'");
        assert!(table.contains("`optimizer`"), "{table}");
    }

    #[test]
    fn every_setting_refuses_a_date_with_its_own_words() {
        for key in KEYS {
            let error = refusal(&format!("{} = 2024-06-12", key.name));
            assert!(error.contains(key.needs) && error.contains("2024-06-12"), "{error}");
        }
    }

    #[test]
    fn broken_text_is_a_sentence_and_never_a_panic() {
        let error = refusal("rank = 8\nalpha = \nsteps = 2");
        assert!(error.starts_with("line 2 is not valid TOML: ") && error.ends_with("one to a line."), "{error}");
        let error = refusal("rank = 1\nrank = 2");
        assert!(error.starts_with("line 2 is not valid TOML: duplicate key"), "{error}");
        assert_eq!(
            refusal("tokens = 1\nmax_seq_length = 2"),
            "`tokens` is set and `max_seq_length` is set, but they are two names of one setting. Keep one of them."
        );
        let full = full();
        for end in (0..full.len()).filter(|&end| full.is_char_boundary(end)) {
            let _ = Experiment::from_toml(&full[..end]);
            let _ = Experiment::from_toml(&full[end..]);
        }
        for text in ["\0", "= 1", "[[x]]", "a.b.c = 1", "\"\" = 1", "é = 'ü", "\u{feff}rank = 1"] {
            let _ = Experiment::from_toml(text);
        }
    }

    #[test]
    fn flags_hold_over_the_file() {
        let file = read("rank = 4\nsteps = 10\ntask = 'questions'\noptimizer = 'sgd'\nmomentum = 0.9");
        assert_eq!(file.clone().merge(Experiment::default()), file);
        assert_eq!(Experiment::default().merge(file.clone()), file);
        let merged = file.clone().merge(read("rank = 2\ndata = 'a.txt'"));
        assert_eq!(merged, read("rank = 2\nsteps = 10\ndata = 'a.txt'\noptimizer = 'sgd'\nmomentum = 0.9"));
        assert_eq!(file.clone().merge(read("optimizer = 'sgd'")).momentum, Some(0.9));
        assert_eq!(file.merge(read("optimizer = 'adamw'")).momentum, None);
        assert_eq!(read("beta1 = 0.5").merge(read("optimizer = 'adamw'")).beta1, Some(0.5));
        let full = read(&full());
        assert_eq!(full.clone().merge(full.clone()).base, full.base);
    }

    #[test]
    fn any_numbers_can_be_written() {
        let experiment = Experiment {
            seeds: Some(Seeds::List(vec![u64::MAX])),
            rank: Some(usize::MAX),
            alpha: Some(f64::NAN),
            beta1: Some(f64::INFINITY),
            ..Experiment::default()
        };
        let toml = experiment.to_toml();
        assert_eq!(toml.lines().count(), 4, "{toml}");
        assert!(toml.contains("alpha = nan"), "{toml}");
    }
}
